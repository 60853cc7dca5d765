"""What a request claims is read, never believed; its secret half is not even looked at."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.brute_force.identity import (
    claimed_identities,
    form_identities,
    has_credentials,
    identity_digest,
)

HEADERS = ("HTTP_X_API_KEY", "HTTP_AUTHORIZATION")


def basic(text):
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(text.encode()).decode()}


def test_a_key_is_known_by_its_public_half():
    one, other = ({"HTTP_X_API_KEY": f"sml_abc_{rest}"} for rest in ("x1", "y2"))
    assert (
        claimed_identities(one, HEADERS)
        == claimed_identities(other, HEADERS)
        == {identity_digest("abc")}
    )
    assert claimed_identities({"HTTP_X_API_KEY": "sml_abd_x1"}, HEADERS) == {identity_digest("abd")}
    assert claimed_identities({"HTTP_AUTHORIZATION": "ApiKey sml_abc_x1"}, HEADERS) == {
        identity_digest("abc")
    }


def test_a_name_in_basic_is_the_same_whatever_the_password():
    found = {identity_digest("bob")}
    assert (
        claimed_identities(basic("bob:one"), HEADERS)
        == claimed_identities(basic("bob:two"), HEADERS)
        == found
    )


@pytest.mark.parametrize("spelling", ["a%20b", "a+b", "%61+b", "%61%20%62"])
def test_attack_other_spellings_of_a_name_in_basic_are_no_other_identity(spelling):
    """Each would have so many guesses of its own."""
    assert claimed_identities(basic(f"{spelling}:x"), HEADERS) == {identity_digest("a b")}
    spaced = {"HTTP_AUTHORIZATION": basic("bob:x")["HTTP_AUTHORIZATION"].replace(" ", "   ") + " "}
    assert claimed_identities(spaced, HEADERS) == {identity_digest("bob")}


def test_attack_a_name_behind_another_credential_is_seen():
    """Else junk in one header would hide whom the other guesses at."""
    environ = {"HTTP_X_API_KEY": "sml_junk_x", **basic("bob:one")}
    assert claimed_identities(environ, HEADERS) == {identity_digest("junk"), identity_digest("bob")}


def test_who_is_named_in_a_form_is_known_by_every_field_that_names():
    fields = ("name", "client_id")
    assert form_identities({"name": "ann", "password": "x"}, fields) == {identity_digest("ann")}
    assert form_identities({"name": "junk", "client_id": "oc_1"}, fields) == {
        identity_digest("junk"),
        identity_digest("oc_1"),
    }
    for form in (None, {}, {"name": ""}, {"name": ["ann"]}, {"password": "x"}):
        assert form_identities(form, fields) == frozenset()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_X_API_KEY": ""},
        {"HTTP_X_API_KEY": "nothing"},
        {"HTTP_AUTHORIZATION": "Bearer a.b.c"},
        {"HTTP_AUTHORIZATION": "Basic !!!"},
        {"HTTP_AUTHORIZATION": "Basic"},
        {"HTTP_AUTHORIZATION": "DPoP x"},
    ],
)
def test_who_names_nobody_is_nobody(environ):
    assert claimed_identities(environ, HEADERS) == frozenset()


def test_nothing_of_what_was_sent_is_kept():
    found = claimed_identities({"HTTP_X_API_KEY": "sml_secretish_verysecret"}, HEADERS)
    assert "secret" not in str(found)


@given(st.text(), st.text())
def test_any_header_at_all_has_an_answer(key, authorization):
    environ = {"HTTP_X_API_KEY": key, "HTTP_AUTHORIZATION": authorization}
    found = claimed_identities(environ, HEADERS)
    assert len(found) <= 2
    assert {len(who) for who in found} <= {24}
    assert has_credentials(environ, HEADERS) is bool(key or authorization)
