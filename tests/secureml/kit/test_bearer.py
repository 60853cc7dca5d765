"""Tokens in the Authorization header, and the challenge for a missing scope."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from secureml.kit.bearer import CHALLENGE, name_missing_scope, presented_token

SCHEMES = ("bearer", "dpop")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Bearer a.b.c", ("bearer", "a.b.c")),
        ("bearer a", ("bearer", "a")),
        ("DPoP  a ", ("dpop", "a")),
        ("Bearer", ("bearer", "")),
        ("Bearer\ta", ("", "")),
        ("Basic YTpi", ("", "")),
        ("Bearera b", ("", "")),
        ("", ("", "")),
        (" Bearer a", ("", "")),
    ],
)
def test_scheme_and_token_are_told_apart(header, found):
    assert presented_token({"HTTP_AUTHORIZATION": header}, SCHEMES) == found


def test_a_request_without_the_header_presents_nothing():
    assert presented_token({}, SCHEMES) == ("", "")


def exchange(code="forbidden", method="jwt", scopes=(), scope="predict"):
    return SimpleNamespace(
        problem=SimpleNamespace(code=code) if code else None,
        principal=SimpleNamespace(method=method, scopes=frozenset(scopes)) if method else None,
        policy=SimpleNamespace(scope=scope),
    )


def named(refused):
    """Return the headers after the challenge was set, or was not."""
    headers = {}
    name_missing_scope(refused, "jwt", headers)
    return headers


def test_a_token_without_the_scope_of_the_route_is_told_which():
    assert named(exchange()) == {
        "WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="predict"'
    }


@pytest.mark.parametrize(
    "changed",
    [{"code": None}, {"code": "not_found"}, {"method": ""}, {"method": "api_keys"},
     {"scopes": ["predict"]}],
)  # fmt: skip
def test_nobody_else_gets_that_challenge(changed):
    assert named(exchange(**changed)) == {}


def test_a_route_without_a_policy_has_no_scope_to_name():
    unknown = exchange()
    unknown.policy = None
    assert named(unknown) == {}
