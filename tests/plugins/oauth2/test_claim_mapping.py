"""From claims to rights: only what the operator's map says, and never more than the client has."""

from __future__ import annotations

import pytest

from plugins.oauth2.claim_mapping import ClaimMapping
from secureml.kit.jwt_claims import InvalidToken


def mapping(**changed):
    words = {
        "client": None,
        "client_claim": "azp",
        "clients": {"their-app": "acme"},
        "scope_claim": "scope",
        "scopes": {"ml.all": frozenset({"predict", "models:read"}), "ml.p": frozenset({"predict"})},
        "models": frozenset({"*"}),
    }
    return ClaimMapping(**(words | changed))


def refused(call, *words):
    with pytest.raises(InvalidToken) as error:
        call(*words)
    return error.value.reason


def test_a_client_is_found_by_the_map():
    assert mapping().client_of({"azp": "their-app"}) == "acme"


def test_a_client_of_our_own_name_over_there_is_not_ours():
    assert refused(mapping().client_of, {"azp": "acme"}) == "client_unmapped"


@pytest.mark.parametrize("value", [None, "", 1, ["their-app"], "x" * 256])
def test_the_claim_must_be_a_text(value):
    assert refused(mapping().client_of, {"azp": value}) == "azp"
    assert refused(mapping().client_of, {}) == "azp"


def test_one_client_for_all():
    assert mapping(client="acme").client_of({}) == "acme"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("ml.p", {"predict"}),
        ("ml.p ml.all openid", {"predict", "models:read"}),
        (["ml.all"], {"predict", "models:read"}),
        ("predict", set()),
        ("ml.p,ml.all", set()),
        (["ml.p ml.all"], set()),
        ("", set()),
        ([], set()),
    ],
)
def test_scopes_are_given_by_the_map_alone(value, found):
    assert mapping().scopes_of({"scope": value}) == found


def test_no_scopes_at_all_give_none():
    assert mapping().scopes_of({}) == frozenset()


@pytest.mark.parametrize("value", [None, 1, {"ml.p": True}, [1], [["ml.p"]]])
def test_scopes_of_another_shape_are_refused(value):
    assert refused(mapping().scopes_of, {"scope": value}) == "claim_scope"


@pytest.mark.parametrize(
    ("mapped", "held", "found"),
    [
        ({"*"}, {"*"}, {"*"}),
        ({"*"}, {"iris"}, {"iris"}),
        ({"iris"}, {"*"}, {"iris"}),
        ({"iris", "wine"}, {"wine", "digits"}, {"wine"}),
        ({"iris"}, {"wine"}, set()),
        (set(), {"*"}, set()),
    ],
)
def test_models_are_what_both_grant(mapped, held, found):
    assert mapping(models=frozenset(mapped)).models_of(frozenset(held)) == found
