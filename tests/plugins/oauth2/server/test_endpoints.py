"""Introspection and revocation, where they are not attacked."""

from __future__ import annotations

import pytest

from plugins.oauth2.server.clients import CODE, MACHINE, REFRESH
from plugins.oauth2.server.endpoints import INTROSPECT
from tests.oauth_house import BACK, ISSUER, SITE
from tests.outside_issuer import EC


def test_a_token_is_told_whole(house):
    pair = house.pair()
    told = house.introspect(pair["access_token"]).json
    now = int(house.clock())
    assert told.pop("jti")
    assert told == {
        "active": True, "client_id": house.web, "sub": "ann", "username": "ann", "iss": ISSUER,
        "aud": SITE, "iat": now, "exp": now + 900, "scope": "models:read", "token_type": "Bearer",
    }  # fmt: skip
    refresh = house.introspect(pair["refresh_token"]).json
    assert (refresh["exp"], "token_type" in refresh) == (now + 30 * 86400, False)


def test_a_machines_token_names_no_person_and_a_bound_one_its_key(house):
    auth = (house.machine, house.machine_secret)
    body = house.token(auth, {"DPoP": house.dpop(EC)}, grant_type="client_credentials").json
    told = house.introspect(body["access_token"], auth).json
    assert (told["sub"], "username" in told) == (house.machine, False)
    assert (told["cnf"], told["token_type"]) == ({"jkt": EC.thumbprint()}, "DPoP")


def test_a_resource_server_with_the_right_may_ask_about_all(house):
    house.clients.add("gateway", scopes=[INTROSPECT])
    gateway = house.program("gateway", grants=[MACHINE])
    assert house.introspect(house.pair()["access_token"], gateway).json["active"] is True


@pytest.mark.parametrize("path", ["/oauth2/introspect", "/oauth2/revoke"])
def test_a_token_must_be_named(house, path):
    answer = house.post(path, (house.web, house.web_secret), x="y")
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("text", ["x", "a.b.c", "srt_x", "é"])
def test_what_is_no_token_is_inactive_and_as_good_as_revoked(house, text):
    assert house.introspect(text).json == {"active": False}
    answer = house.post(
        "/oauth2/revoke", (house.web, house.web_secret), token=text, token_type_hint="odd"
    )
    assert (answer.status_code, answer.json) == (200, {})


def test_a_public_program_gives_back_its_own(house):
    program, _ = house.program(grants=[CODE, REFRESH], redirects=[BACK], public=True)
    code = house.code(client_id=program)
    body = house.trade(code, auth=(), client_id=program).json
    answer = house.post("/oauth2/revoke", client_id=program, token=body["refresh_token"])
    assert answer.status_code == 200
    assert house.ask(body["access_token"]).status_code == 401
    (told,) = house.happened("authn_token_revoked")
    assert (told["oauth_client"], told["jti"]) == (program, None)
