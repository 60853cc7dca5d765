"""Introspection and revocation, where they are not attacked."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.clients import CODE, MACHINE, REFRESH
from plugins.oauth2_server.endpoints import INTROSPECT
from tests.oauth_app import BACK, ISSUER, SITE
from tests.outside_issuer import EC


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
