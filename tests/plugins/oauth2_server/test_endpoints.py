"""Introspection and revocation, where they are not attacked."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.clients import CODE, MACHINE, REFRESH
from plugins.oauth2_server.endpoints import INTROSPECT
from tests.oauth_app import BACK, ISSUER, SITE
from tests.outside_issuer import EC, make_token


def test_a_token_is_told_whole(core):
    pair = core.pair()
    emitted = core.introspect(pair["access_token"]).json
    now = int(core.clock())
    assert emitted.pop("jti")
    assert emitted == {
        "active": True, "client_id": core.web, "sub": "ann", "username": "ann", "iss": ISSUER,
        "aud": SITE, "iat": now, "exp": now + 900, "scope": "models:read", "token_type": "Bearer",
    }  # fmt: skip
    refresh = core.introspect(pair["refresh_token"]).json
    assert (refresh["exp"], "token_type" in refresh) == (now + 30 * 86400, False)


def test_a_machines_token_names_no_person_and_a_bound_one_its_key(core):
    auth = (core.machine, core.machine_secret)
    body = core.token(auth, {"DPoP": core.dpop(EC)}, grant_type="client_credentials").json
    emitted = core.introspect(body["access_token"], auth).json
    assert (emitted["sub"], "username" in emitted) == (core.machine, False)
    assert (emitted["cnf"], emitted["token_type"]) == ({"jkt": EC.thumbprint()}, "DPoP")


def test_a_resource_server_with_the_right_may_ask_about_all(core):
    core.clients.add("gateway", scopes=[INTROSPECT])
    gateway = core.program("gateway", grants=[MACHINE])
    assert core.introspect(core.pair()["access_token"], gateway).json["active"] is True


@pytest.mark.parametrize("path", ["/oauth2/introspect", "/oauth2/revoke"])
def test_a_token_must_be_named(core, path):
    answer = core.post(path, (core.web, core.web_secret), x="y")
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("text", ["x", "a.b.c", "srt_x", "é"])
def test_what_is_no_token_is_inactive_and_as_good_as_revoked(core, text):
    assert core.introspect(text).json == {"active": False}
    answer = core.post(
        "/oauth2/revoke", (core.web, core.web_secret), token=text, token_type_hint="odd"
    )
    assert (answer.status_code, answer.json) == (200, {})


def test_a_public_program_gives_back_its_own(core):
    program, _ = core.program(grants=[CODE, REFRESH], redirects=[BACK], public=True)
    code = core.code(client_id=program)
    body = core.trade(code, auth=(), client_id=program).json
    answer = core.post("/oauth2/revoke", client_id=program, token=body["refresh_token"])
    assert answer.status_code == 200
    assert core.ask(body["access_token"]).status_code == 401
    (emitted,) = core.happened("authn_token_revoked")
    assert (emitted["oauth_client"], emitted["jti"]) == (program, None)


# -- introspection and revocation, as a table ------------------------------------------------

ENDPOINTS = ("/oauth2/introspect", "/oauth2/revoke")


@pytest.fixture
def dead(core):
    """Texts that stand for nothing any more, or never did, by what they are."""
    expired, revoked, refreshed = core.pair(), core.pair(), core.pair()
    core.clock.advance(1)
    core.revoke(revoked["refresh_token"])
    spent = refreshed["refresh_token"]
    assert core.refresh(spent).status_code == 200
    program = core.device_program()
    begun = core.post("/oauth2/device_authorization", client_id=program).json
    core.clock.advance(900)
    head, body, signature = core.pair()["access_token"].split(".")
    return {
        "expired": expired["access_token"],
        "revoked": revoked["access_token"],
        "revoked refresh": revoked["refresh_token"],
        "spent refresh": spent,
        "code": core.code(),
        "device code": begun["device_code"],
        "secret": core.web_secret,
        "forged": f"{head}.{body}.{signature[::-1]}",
        "unsigned": f"{head}.{body}.",
        "outside": make_token(),
        "client id": core.web,
        "empty-looking": " ",
    }


def test_what_does_not_hold_is_inactive_and_nothing_more_is_said(core, dead):
    """RFC 7662, 2.2: a reason would be an oracle."""
    for what, text in dead.items():
        answer = core.introspect(text)
        assert (answer.status_code, answer.json) == (200, {"active": False}), what
        assert answer.headers["Cache-Control"] == "no-store"


def test_what_does_not_hold_is_as_good_as_revoked(core, dead):
    """RFC 7009, 2.2: 200, since what was wanted is so; and nobody else is ended by it."""
    living = core.pair()
    for what, text in dead.items():
        answer = core.revoke(text)
        assert (answer.status_code, answer.json) == (200, {}), what
    assert core.ask(living["access_token"]).status_code == 200
    assert core.happened("authn_token_revoked")[1:] == []  # the one of the fixture


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "pct_token", "", "x" * 100])
def test_a_wrong_hint_finds_the_token_all_the_same(shared, hint):
    """RFC 7009, 2.1: the search goes on over all kinds."""
    auth, pair = (shared.web, shared.web_secret), shared.pair()
    for text in pair["access_token"], pair["refresh_token"]:
        answer = shared.post("/oauth2/introspect", auth, token=text, token_type_hint=hint)
        assert answer.json["active"] is True
    answer = shared.post("/oauth2/revoke", auth, token=pair["refresh_token"], token_type_hint=hint)
    assert answer.status_code == 200
    assert shared.ask(pair["access_token"]).status_code == 401


def test_asking_about_a_refresh_token_does_not_spend_it(shared):
    pair = shared.pair()
    for _ in range(3):
        assert shared.introspect(pair["refresh_token"]).json["active"] is True
    assert shared.refresh(pair["refresh_token"]).status_code == 200


def test_attack_asking_about_a_spent_token_ends_nobody(shared):
    """Else a resource server that sees an old one is a switch."""
    first = shared.pair()
    second = shared.refresh(first["refresh_token"]).json
    assert shared.introspect(first["refresh_token"]).json == {"active": False}
    assert shared.revoke(first["refresh_token"]).status_code == 200
    assert shared.ask(second["access_token"]).status_code == 200
    assert shared.refresh(second["refresh_token"]).status_code == 200


def test_one_access_token_is_taken_back_and_its_sister_goes_on(shared):
    pair = shared.pair()
    sister = shared.refresh(pair["refresh_token"]).json
    assert shared.revoke(pair["access_token"]).status_code == 200
    assert shared.ask(pair["access_token"]).status_code == 401
    assert shared.ask(sister["access_token"]).status_code == 200
    assert shared.refresh(sister["refresh_token"]).status_code == 200


def test_a_refresh_token_takes_all_access_tokens_along(shared):
    """RFC 7009, 2.1: SHOULD; here it is so."""
    pair = shared.pair()
    sister = shared.refresh(pair["refresh_token"], scope="models:read").json
    assert shared.revoke(sister["refresh_token"]).status_code == 200
    for text in pair["access_token"], sister["access_token"]:
        assert shared.ask(text).status_code == 401
        assert shared.introspect(text).json == {"active": False}


def test_attack_the_right_to_ask_is_no_right_to_end(core):
    """A resource server that may introspect everything revokes nothing of others."""
    core.clients.add("gateway", scopes=[INTROSPECT])
    gateway = core.program("gateway", grants=[MACHINE])
    pair = core.pair()
    for text in pair["access_token"], pair["refresh_token"]:
        assert core.introspect(text, gateway).json["active"] is True
        answer = core.revoke(text, gateway)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    assert core.ask(pair["access_token"]).status_code == 200


def test_the_right_to_ask_ends_with_the_client_that_holds_it(core):
    core.clients.add("gateway", scopes=[INTROSPECT])
    gateway, text = core.program("gateway", grants=[MACHINE]), core.pair()["access_token"]
    assert core.introspect(text, gateway).json["active"] is True
    core.clients.change("gateway", scopes=["predict"])
    assert core.introspect(text, gateway).json == {"active": False}
    core.clients.set_enabled("gateway", enabled=False)
    assert core.introspect(text, gateway).status_code == 401


def test_what_is_told_is_what_the_token_is_worth_now(core):
    """A right that was taken from the client is gone from its tokens at once."""
    text = core.pair(scope="models:read predict")["access_token"]
    core.clients.change("acme", scopes=["predict"])
    assert core.introspect(text).json["scope"] == "predict"
    core.clients.set_enabled("acme", enabled=False)
    assert core.introspect(text).json == {"active": False}


def test_a_token_is_inactive_in_the_second_in_which_it_ends(core):
    text = core.machine_token()["access_token"]
    auth = (core.machine, core.machine_secret)
    core.clock.advance(899)
    assert core.introspect(text, auth).json["exp"] == int(core.clock()) + 1
    core.clock.advance(1)
    assert core.introspect(text, auth).json == {"active": False}


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_a_post_is_read(shared, path, method):
    """RFC 7662, 2.1: a GET would put tokens into logs."""
    answer = shared.http.open(path, method=method, base_url=SITE)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_attack_a_public_program_ends_the_token_of_another_by_its_id(shared):
    """It says who it is by an id that everybody may know: so its own tokens alone."""
    program, _ = shared.program(grants=[CODE, REFRESH], redirects=[BACK], public=True)
    pair = shared.pair()
    for text in pair["access_token"], pair["refresh_token"]:
        answer = shared.post("/oauth2/revoke", client_id=program, token=text)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    assert shared.ask(pair["access_token"]).status_code == 200
