"""A narrow right is never as good as a wide one, and two sides give only what both give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.state.scopes import MODEL, RIGHT, implies, implies_all, intersect, may_use, permits

SCOPES = st.sampled_from(["predict", "models:read", "token"])
MODELS = st.sampled_from(["churn", "fraud"])
RIGHTS = st.one_of(
    SCOPES,
    st.builds("{}@{}".format, SCOPES, MODELS),
    st.builds("{}@{}@{}".format, SCOPES, MODELS, st.sampled_from(["1", "2"])),
)
HELD = st.frozensets(RIGHTS, max_size=6)
ASKED = st.tuples(SCOPES, st.sampled_from(["", "churn", "fraud", "other"]), st.sampled_from("12"))


@pytest.mark.parametrize(
    ("held", "model", "version", "allowed"),
    [
        ("predict", "churn", "1", True),
        ("predict@churn", "churn", "7", True),
        ("predict@churn@1", "churn", "1", True),
        ("predict@churn@1", "churn", "2", False),
        ("predict@churn@1", "churn", "", False),
        ("predict@churn", "fraud", "1", False),
        ("predict@churn", "", "", False),
        ("predict@chur", "churn", "1", False),
        ("models:read@churn", "churn", "1", False),
        ("", "churn", "1", False),
    ],
)
def test_what_one_right_allows(held, model, version, allowed):
    assert permits([held], "predict", model, version) is allowed


@given(HELD, RIGHTS)
def test_a_right_is_covered_by_itself_and_whatever_is_wider(held, right):
    parts = right.split("@")
    wider = {"@".join(parts[:length]) for length in range(1, len(parts) + 1)}
    assert implies(held, right) is bool(held & wider)


@given(HELD, HELD, ASKED)
def test_what_two_sides_give_allows_exactly_what_both_allow(one, other, asked):
    both = permits(one, *asked) and permits(other, *asked)
    assert permits(intersect(one, other), *asked) is both


@given(HELD, HELD)
def test_nothing_is_gained_by_meeting(one, other):
    assert implies_all(one, intersect(one, other))
    assert implies_all(other, intersect(one, other))
    assert intersect(one, other) == intersect(other, one)
    assert intersect(one, one) == one


@pytest.mark.parametrize(
    ("models", "version", "allowed"),
    [("*", "1", True), ("churn", "1", True), ("churn@1", "1", True), ("churn@1", "2", False),
     ("churn@1", "", False), ("fraud", "1", False), ("churn@", "", True)],
)  # fmt: skip
def test_which_models_may_be_used(models, version, allowed):
    if models == "churn@":
        assert not MODEL.fullmatch(models)  # it can never be granted
        return
    assert may_use([models], "churn", version) is allowed


@pytest.mark.parametrize(
    "text", ["", "Predict", "predict@", "predict@a@", "predict@a@0", "predict@a@x", "a b",
             "predict@*", "predict@a@1@2", "predict@-a", "predict\n", "x" * 65]
)  # fmt: skip
def test_what_is_no_right(text):
    assert not RIGHT.fullmatch(text)


@pytest.mark.parametrize("text", ["predict", "models:read", "predict@Churn_2", "predict@a@12"])
def test_what_is_a_right(text):
    assert RIGHT.fullmatch(text)
