"""The four routes: who may trade, what comes of it, and what strangers see."""

from __future__ import annotations

import pytest
from flask import g
from jwt.algorithms import ECAlgorithm
from token_app import CHALLENGE, unpack


def test_a_key_is_traded_for_a_pair(core):
    """As a stock client library expects it (RFC 6749, 5.1), and kept by no cache."""
    answer = core.trade()

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
    assert core.ask(answer.json["access_token"]).json == {"models": []}


def test_the_right_to_trade_is_not_handed_on(core):
    """A token cannot issue tokens: it lacks the scope, and its method is not among the traded."""
    token = core.pair()["access_token"]
    answer = core.http.post("/v1/auth/token", json={}, headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, core.reason) == (403, "scopes.missing:token")
    assert 'error="insufficient_scope", scope="token"' in answer.headers["WWW-Authenticate"]


def test_a_client_without_the_scope_does_not_trade(core):
    """Nothing is open because a plugin was enabled."""
    core.harness.clients.add("plain")
    answer = core.trade(key=core.api_key("plain"))

    assert (answer.status_code, core.reason) == (403, "scopes.missing:token")


def test_a_stranger_does_not_trade(core):
    """Nor learn anything."""
    assert core.http.post("/v1/auth/token", json={}).status_code == 401


def test_fewer_rights_may_be_asked_for(core):
    """And no more."""
    assert core.pair(scope="predict")["scope"] == "predict"
    token = core.pair(scope="predict")["access_token"]
    assert core.ask(token).status_code == 403
    for wanted in ("admin", "predict admin", "token", "predict token"):
        answer = core.trade({"scope": wanted})
        assert (answer.status_code, core.reason) == (403, "jwt.scope_not_held"), wanted


def test_a_narrow_key_gives_a_narrow_token(core):
    """What the key may not do, the token may not."""
    key = core.api_key("acme", scopes=["token", "predict"])
    assert core.trade(key=key).json["scope"] == "predict"
    only_token = core.api_key("acme", scopes=["token"])

    assert core.trade(key=only_token).status_code == 403


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
def test_the_envelope_of_a_trade_is_strict(core, body):
    """A word that is not known is refused."""
    answer = core.http.post("/v1/auth/token", json=body, headers={"X-API-Key": core.key})

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("path", ["/v1/auth/refresh", "/v1/auth/revoke"])
def test_the_envelopes_of_public_routes_are_as_strict(core, path):
    """They are read like any body: strangers send them."""
    word = "refresh_token" if path.endswith("refresh") else "token"
    for body in ({}, {word: ""}, {word: 7}, {word: None}, {word: "x" * 4097}, {word: "x", "y": 1}):
        assert core.http.post(path, json=body).status_code in (400, 422), body
    twice = f'{{"{word}": "a", "{word}": "b"}}'
    answer = core.http.post(path, data=twice, content_type="application/json")
    assert answer.json["code"] == "duplicate_key"
    assert core.http.post(path, data={word: "a"}).status_code == 415
    assert core.http.get(path).status_code == 405


@pytest.mark.parametrize("path", ["/v1/auth/refresh", "/v1/auth/revoke"])
def test_attack_a_large_body_at_a_public_route_is_not_read(core, path):
    """Refused by its length, before it is parsed: a token is 4 KiB at most."""
    word = "refresh_token" if path.endswith("refresh") else "token"
    fits = f'{{"{word}": "{"x" * 4096}"}}'
    assert core.http.post(path, data=fits, content_type="application/json").status_code < 413
    for body in ('{"a":' * 2000, "[" * 8193, f'{{"{word}": "{"x" * 9000}"}}'):
        answer = core.http.post(path, data=body, content_type="application/json")
        assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_what_is_plainly_wrong_costs_no_signature(core, monkeypatch):
    """Shape, header and claims are looked at first: a forger does not make us compute."""
    signatures = []
    verify = ECAlgorithm.verify
    monkeypatch.setattr(
        ECAlgorithm, "verify", lambda *facts: signatures.append(1) or verify(*facts)
    )
    good = core.pair()["refresh_token"]
    head, body, seal = good.split(".")
    for text in (
        "x", f"{head}.{body}", f"{head}.{body}.{seal}A", f"{body}.{head}.{seal}",
        core.forge(good, header={"alg": "none"}), core.forge(good, claims={"exp": 1}),
        core.forge(good, claims={"aud": "other"}), core.forge(good, drop=["jti"]),
    ):  # fmt: skip
        assert core.refresh(text).status_code == 401
        assert core.revoke(text).status_code == 200
    assert signatures == []
    assert core.refresh(good).status_code == 200
    assert len(signatures) == 1


def test_a_refresh_gives_the_next_pair(core):
    """Without any other credential: the token is one."""
    first = core.pair(scope="predict")
    answer = core.refresh(first["refresh_token"])

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["scope"] == "predict"
    assert answer.json["refresh_token"] != first["refresh_token"]


def test_a_refresh_of_a_disabled_client_is_refused_and_uses_nothing_up(core):
    """Whoever lets it in again need not hand out new keys."""
    token = core.pair()["refresh_token"]
    core.harness.clients.set_enabled("acme", enabled=False)
    answer = core.refresh(token)
    assert (answer.status_code, core.reason) == (401, "jwt.client_disabled")
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    core.harness.clients.set_enabled("acme", enabled=True)

    assert core.refresh(token).status_code == 200


def test_revoking_answers_alike_whatever_the_token_was(core):
    """RFC 7009, 2.2: and so it tells nobody which tokens are good."""
    pair = core.pair()
    answers = [
        core.revoke(text)
        for text in (
            pair["access_token"],
            pair["access_token"],
            pair["refresh_token"],
            "x",
            "a.b.c",
        )
    ]

    assert {(found.status_code, found.data) for found in answers} == {(200, b"{}")}
    assert core.ask(pair["access_token"]).status_code == 401
    assert core.refresh(pair["refresh_token"]).status_code == 401


def test_the_key_set_is_public_and_holds_what_verifies(core):
    """Active and retiring, nothing retired, nothing private."""
    first = core.signing.active().kid
    core.clock.advance(1)
    second = core.signing.rotate().kid
    answer = core.http.get("/.well-known/jwks.json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert [key["kid"] for key in answer.json["keys"]] == [first, second]
    assert not any("d" in key for key in answer.json["keys"])
    core.signing.retire(first)

    keys = core.http.get("/.well-known/jwks.json").json["keys"]
    assert [key["kid"] for key in keys] == [second]


def test_without_a_signing_key_trades_and_refreshes_wait(core):
    """503, readiness says why, and no family is begun."""
    token = core.pair()["refresh_token"]
    kid = core.signing.active().kid
    (core.harness.folder / "keys" / "signing" / f"{kid}.pem").unlink()
    core.signing._reread()

    for answer in (core.trade(), core.refresh(token)):
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
        assert core.reason == "jwt.no_signing_key"
    assert "no_signing_key" in core.http.get("/readyz").json["reasons"]


def test_no_answer_but_the_pair_itself_holds_a_token(core):
    """Not in a body, not in a header."""
    pair = core.pair()
    for answer in (
        core.ask(pair["access_token"]),
        core.ask(pair["access_token"] + "x"),
        core.refresh(pair["access_token"]),
        core.revoke(pair["access_token"]),
    ):
        said = f"{answer.headers} {answer.text}"
        assert not any(part in said for part in pair["access_token"].split("."))


def test_a_view_without_a_principal_is_a_fault_not_a_gift(core):
    """The pipeline would have to be broken for it."""
    view = core.app.view_functions["jwt.token"]
    with core.app.test_request_context():
        g.exchange = core.harness.exchange("POST", "/v1/auth/token")
        with pytest.raises(RuntimeError):
            view()


def test_the_claims_name_no_right_beyond_the_scope(core):
    """Tier and models are looked up when the token is used, so that changes count."""
    claims = unpack(core.pair()["access_token"].split(".")[1])

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
