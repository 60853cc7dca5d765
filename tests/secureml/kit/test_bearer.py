"""Tokens in the Authorization header, and the challenge for a missing scope."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from secureml.kit.bearer import missing_scope_challenge, split_authorization

SCHEMES = ("bearer", "dpop")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Bearer a.b.c", ("bearer", "a.b.c")),
        ("bearer a", ("bearer", "a")),
        ("DPoP  a ", ("dpop", "a")),
        ("Bearer", ("bearer", "")),
        ("Bearer\ta", None),
        ("Basic YTpi", None),
        ("Bearera b", None),
        ("", None),
        (" Bearer a", None),
    ],
)
def test_scheme_and_token_are_told_apart(header, found):
    assert split_authorization(header, SCHEMES) == found


def exchange(code="forbidden", method="jwt", scopes=(), scope="predict"):
    return SimpleNamespace(
        problem=SimpleNamespace(code=code) if code else None,
        principal=SimpleNamespace(method=method, scopes=frozenset(scopes)) if method else None,
        policy=SimpleNamespace(scope=scope),
    )


def test_a_token_without_the_scope_of_the_route_is_told_which():
    assert missing_scope_challenge(exchange(), "jwt", "Bearer") == (
        'Bearer, error="insufficient_scope", scope="predict"'
    )


@pytest.mark.parametrize(
    "changed",
    [{"code": None}, {"code": "not_found"}, {"method": ""}, {"method": "api_keys"},
     {"scopes": ["predict"]}],
)  # fmt: skip
def test_nobody_else_gets_that_challenge(changed):
    assert missing_scope_challenge(exchange(**changed), "jwt", "Bearer") is None


def test_a_route_without_a_policy_has_no_scope_to_name():
    unknown = exchange()
    unknown.policy = None
    assert missing_scope_challenge(unknown, "jwt", "Bearer") is None
