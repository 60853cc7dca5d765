"""The four routes: who may trade, what comes of it, and what strangers see."""

from __future__ import annotations

import pytest
from flask import g
from token_house import CHALLENGE, unpack

from plugins.jwt.signatures import Signatures


def test_a_key_is_traded_for_a_pair(house):
    """As a stock client library expects it (RFC 6749, 5.1), and kept by no cache."""
    answer = house.trade()

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "refresh_expires_in",
        "scope",
    }
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)
    assert answer.json["scope"] == "models:read predict"
    assert house.ask(answer.json["access_token"]).json == {"models": []}


def test_the_right_to_trade_is_not_handed_on(house):
    """A token cannot mint tokens: it lacks the scope, and its method is not among the traded."""
    token = house.pair()["access_token"]
    answer = house.http.post(
        "/v1/auth/token", json={}, headers={"Authorization": f"Bearer {token}"}
    )

    assert (answer.status_code, house.reason) == (403, "scopes.missing:token")
    assert 'error="insufficient_scope", scope="token"' in answer.headers["WWW-Authenticate"]


def test_a_client_without_the_scope_does_not_trade(house):
    """Nothing is open because a plugin was enabled."""
    house.harness.clients.add("plain")
    answer = house.trade(key=house.api_key("plain"))

    assert (answer.status_code, house.reason) == (403, "scopes.missing:token")


def test_a_stranger_does_not_trade(house):
    """Nor learn anything."""
    assert house.http.post("/v1/auth/token", json={}).status_code == 401


def test_fewer_rights_may_be_asked_for(house):
    """And no more."""
    assert house.pair(scope="predict")["scope"] == "predict"
    token = house.pair(scope="predict")["access_token"]
    assert house.ask(token).status_code == 403
    for wanted in ("admin", "predict admin", "token", "predict token"):
        answer = house.trade({"scope": wanted})
        assert (answer.status_code, house.reason) == (403, "jwt.scope_not_held"), wanted


def test_a_narrow_key_gives_a_narrow_token(house):
    """What the key may not do, the token may not."""
    key = house.api_key("acme", scopes=["token", "predict"])
    assert house.trade(key=key).json["scope"] == "predict"
    only_token = house.api_key("acme", scopes=["token"])

    assert house.trade(key=only_token).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"scope": ""},
        {"scope": 7},
        {"scope": " predict"},
        {"scope": "predict\n"},
        {"x": 1},
        {"scope": "predict  predict"},
        {"scope": ["predict"]},
        [],
    ],
)
def test_the_envelope_of_a_trade_is_strict(house, body):
    """A word that is not known is refused."""
    answer = house.http.post("/v1/auth/token", json=body, headers={"X-API-Key": house.key})

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("path", ["/v1/auth/refresh", "/v1/auth/revoke"])
def test_the_envelopes_of_public_routes_are_as_strict(house, path):
    """They are read like any body: strangers send them."""
    word = "refresh_token" if path.endswith("refresh") else "token"
    for body in ({}, {word: ""}, {word: 7}, {word: None}, {word: "x" * 4097}, {word: "x", "y": 1}):
        assert house.http.post(path, json=body).status_code in (400, 422), body
    twice = f'{{"{word}": "a", "{word}": "b"}}'
    answer = house.http.post(path, data=twice, content_type="application/json")
    assert answer.json["code"] == "duplicate_key"
    assert house.http.post(path, data={word: "a"}).status_code == 415
    assert house.http.get(path).status_code == 405


@pytest.mark.parametrize("path", ["/v1/auth/refresh", "/v1/auth/revoke"])
def test_attack_a_large_body_at_a_public_route_is_not_read(house, path):
    """Refused by its length, before it is parsed: a token is 4 KiB at most."""
    word = "refresh_token" if path.endswith("refresh") else "token"
    fits = f'{{"{word}": "{"x" * 4096}"}}'
    assert house.http.post(path, data=fits, content_type="application/json").status_code < 413
    for body in ('{"a":' * 2000, "[" * 8193, f'{{"{word}": "{"x" * 9000}"}}'):
        answer = house.http.post(path, data=body, content_type="application/json")
        assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_what_is_plainly_wrong_costs_no_signature(house, monkeypatch):
    """Shape, header and claims are looked at first: a forger does not make us compute."""
    signatures = []
    prove = Signatures.prove
    monkeypatch.setattr(
        Signatures, "prove", lambda self, text: signatures.append(prove(self, text))
    )
    good = house.pair()["refresh_token"]
    head, body, seal = good.split(".")
    for text in (
        "x", f"{head}.{body}", f"{head}.{body}.{seal}A", f"{body}.{head}.{seal}",
        house.forge(good, header={"alg": "none"}), house.forge(good, claims={"exp": 1}),
        house.forge(good, claims={"aud": "other"}), house.forge(good, drop=["jti"]),
    ):  # fmt: skip
        assert house.refresh(text).status_code == 401
        assert house.revoke(text).status_code == 200
    assert signatures == []
    assert house.refresh(good).status_code == 200
    assert len(signatures) == 1


def test_a_refresh_gives_the_next_pair(house):
    """Without any other credential: the token is one."""
    first = house.pair(scope="predict")
    answer = house.refresh(first["refresh_token"])

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["scope"] == "predict"
    assert answer.json["refresh_token"] != first["refresh_token"]


def test_a_refresh_of_a_disabled_client_is_refused_and_uses_nothing_up(house):
    """Whoever lets it in again need not hand out new keys."""
    token = house.pair()["refresh_token"]
    house.harness.clients.set_enabled("acme", enabled=False)
    answer = house.refresh(token)
    assert (answer.status_code, house.reason) == (401, "jwt.client_disabled")
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    house.harness.clients.set_enabled("acme", enabled=True)

    assert house.refresh(token).status_code == 200


def test_revoking_answers_alike_whatever_the_token_was(house):
    """RFC 7009, 2.2: and so it tells nobody which tokens are good."""
    pair = house.pair()
    answers = [
        house.revoke(text)
        for text in (
            pair["access_token"],
            pair["access_token"],
            pair["refresh_token"],
            "x",
            "a.b.c",
        )
    ]

    assert {(found.status_code, found.data) for found in answers} == {(200, b"{}")}
    assert house.ask(pair["access_token"]).status_code == 401
    assert house.refresh(pair["refresh_token"]).status_code == 401


def test_the_key_set_is_public_and_holds_what_verifies(house):
    """Active and retiring, nothing retired, nothing private."""
    first = house.signing.active().kid
    house.clock.advance(1)
    second = house.signing.rotate().kid
    answer = house.http.get("/.well-known/jwks.json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert [key["kid"] for key in answer.json["keys"]] == [first, second]
    assert not any("d" in key for key in answer.json["keys"])
    house.signing.retire(first)

    keys = house.http.get("/.well-known/jwks.json").json["keys"]
    assert [key["kid"] for key in keys] == [second]


def test_without_a_signing_key_trades_and_refreshes_wait(house):
    """503, readiness says why, and no family is begun."""
    token = house.pair()["refresh_token"]
    kid = house.signing.active().kid
    (house.harness.folder / "keys" / "signing" / f"{kid}.pem").unlink()
    house.signing._reread()

    for answer in (house.trade(), house.refresh(token)):
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
        assert house.reason == "jwt.no_signing_key"
    assert "no_signing_key" in house.http.get("/readyz").json["reasons"]


def test_no_answer_but_the_pair_itself_holds_a_token(house):
    """Not in a body, not in a header."""
    pair = house.pair()
    for answer in (
        house.ask(pair["access_token"]),
        house.ask(pair["access_token"] + "x"),
        house.refresh(pair["access_token"]),
        house.revoke(pair["access_token"]),
    ):
        said = f"{answer.headers} {answer.text}"
        assert not any(part in said for part in pair["access_token"].split("."))


def test_a_view_without_a_principal_is_a_fault_not_a_gift(house):
    """The corridor would have to be broken for it."""
    view = house.app.view_functions["jwt.token"]
    with house.app.test_request_context():
        g.exchange = house.harness.exchange("POST", "/v1/auth/token")
        with pytest.raises(RuntimeError):
            view()


def test_the_claims_name_no_right_beyond_the_scope(house):
    """Tier and models are looked up when the token is used, so that changes count."""
    claims = unpack(house.pair()["access_token"].split(".")[1])

    assert claims.keys() == {
        "iss",
        "aud",
        "sub",
        "client_id",
        "exp",
        "iat",
        "nbf",
        "jti",
        "sid",
        "type",
        "fresh",
        "scope",
    }
