"""Who may read the description."""

from __future__ import annotations

import json

import pytest

from plugins.api_docs.plugin import ApiDocs
from secureml import ConfigError


def test_a_stranger_is_refused_by_default(describe):
    """Our map is not public."""
    status, _, body = describe(caller="")
    assert (status, body["code"]) == (401, "unauthorized")


def test_the_operator_may_open_it_and_no_model_is_in_it_then(describe):
    """Neither its name nor a column, not even for a caller who could see them."""
    for caller in ("", "models:read *"):
        status, headers, body = describe(caller=caller, table={"public": True})
        assert status == 200
        assert headers["Cache-Control"] == "public, max-age=60"
        text = json.dumps(body)
        assert not any(word in text for word in ("loan", "secret", "income", "classified"))


def test_a_guarded_description_is_nobodys_to_keep(describe):
    """It differs between callers."""
    assert describe()[1]["Cache-Control"] == "no-store"


def test_a_public_description_shows_only_the_scopes_the_operator_named(describe):
    """An admin page is not among them."""
    paths = describe(caller="", table={"public": True, "public_scopes": ["predict"]})[2]["paths"]
    assert set(paths) == {
        "/healthz", "/readyz", "/openapi.json", "/v1/models/{model}/predict",
        "/v1/models/{model}/versions/{version}/predict",
    }  # fmt: skip


def test_the_title_is_the_operators(describe):
    """And the version is of the API, not of the software."""
    assert describe(table={"title": "Loans"})[2]["info"] == {"title": "Loans", "version": "1"}


@pytest.mark.parametrize("value", ["yes", "true", None])
def test_only_a_plain_true_opens_it(harness, value):
    """Not something that looks like one."""
    with pytest.raises(ConfigError):
        harness.load(ApiDocs, {"public": value})
