"""Both the right and the model must be granted; each may be narrowed, neither widened."""

from __future__ import annotations

import pytest

from plugins.scopes.decision import Demand, refusal
from secureml import Principal


def holder(scopes, models):
    return Principal("a", "a", frozenset(scopes), frozenset(models), "standard", "m", "c")


ASKED = Demand("predict", "churn", "2")
MISSING, MODEL = "scopes.missing:predict", "scopes.model_not_granted"


@pytest.mark.parametrize(
    ("scopes", "models", "reason"),
    [
        (["predict"], ["*"], ""),
        (["predict"], ["churn"], ""),
        (["predict"], ["churn@2"], ""),
        (["predict@churn"], ["*"], ""),
        (["predict@churn@2"], ["churn@2"], ""),
        (["predict@churn@1"], ["*"], MISSING),
        (["predict@fraud"], ["*"], MISSING),
        (["models:read"], ["*"], MISSING),
        ([], ["*"], MISSING),
        (["predict"], ["fraud"], MODEL),
        (["predict"], ["churn@1"], MODEL),
        (["predict"], [], MODEL),
        (["predict@churn"], ["fraud"], MODEL),
    ],
)
def test_what_is_asked_needs_the_right_and_the_model(scopes, models, reason):
    assert refusal(holder(scopes, models), ASKED) == reason


def test_a_version_that_is_not_known_is_none_that_was_granted():
    assert refusal(holder(["predict@churn@2"], ["*"]), ASKED._replace(version="")) == MISSING


def test_a_route_without_a_model_needs_the_right_as_it_stands():
    demand = Demand("models:read")
    assert refusal(holder(["models:read"], []), demand) == ""
    assert refusal(holder(["models:read@churn"], ["*"]), demand) == "scopes.missing:models:read"
