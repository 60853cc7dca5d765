"""The grants, where they are not attacked: what each gives, and to whom it goes on."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.clients import CODE, DEVICE, MACHINE, REFRESH
from plugins.oauth2_server.grants import back
from tests.oauth_app import BACK, PASSWORD, challenge
from tests.outside_issuer import EC


def test_a_machine_gets_no_refresh_token(core):
    body = core.machine_token(scope="predict")
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "predict")


def test_a_program_without_the_grant_refresh_gets_none(core):
    program = core.program(grants=[CODE], redirects=[BACK])
    body = core.trade(core.code(client_id=program[0]), auth=program).json
    assert "refresh_token" not in body


@pytest.mark.parametrize("grant", ["authorization_code", "refresh_token", "client_credentials"])
def test_a_grant_it_was_not_given_is_refused(core, grant):
    program = core.program(grants=[DEVICE])
    answer = core.token(program, grant_type=grant, code="x", refresh_token="x")
    assert answer.json["error"] == "unauthorized_client"


def test_a_refresh_may_ask_for_less_and_the_next_for_all_again(core):
    pair = core.pair(scope="models:read predict")
    less = core.refresh(pair["refresh_token"], scope="predict").json
    assert less["scope"] == "predict"
    assert core.refresh(less["refresh_token"]).json["scope"] == "models:read predict"


def test_a_refresh_without_a_token_says_so(core):
    answer = core.token((core.web, core.web_secret), grant_type="refresh_token")
    assert answer.json["error"] == "invalid_request"


def test_a_person_who_left_meanwhile_has_lent_nothing(core):
    pair, code = core.pair(), core.code()
    core.server.users.remove("ann")
    assert core.trade(code).json["error"] == "invalid_grant"
    assert core.refresh(pair["refresh_token"]).json["error"] == "invalid_grant"


def test_a_program_with_a_secret_may_change_its_key(core):
    """It is bound by its secret (RFC 9449, 5); a proof of some key it must still show."""
    pair = core.trade(core.code(), headers={"DPoP": core.dpop(EC)}).json
    assert core.refresh(pair["refresh_token"]).json["error"] == "invalid_grant"
    shown = {"DPoP": core.dpop(EC, jti="p-2")}
    assert core.refresh(pair["refresh_token"], headers=shown).json["token_type"] == "DPoP"


@pytest.mark.parametrize(
    "changed", [{"dpop_jkt": "x"}, {"response_mode": "fragment"}, {"response_mode": "form_post"}]
)
def test_what_cannot_be_kept_is_refused_at_the_first_step(core, changed):
    answer = core.get(core.request(**changed))
    assert "error=invalid_request" in answer.headers["Location"]


def test_a_response_mode_of_query_is_what_there_is(core):
    assert core.get(core.request(response_mode="query")).status_code == 200


def test_a_public_program_may_trade_with_its_verifier_alone(core):
    program, _ = core.program(grants=[CODE, REFRESH], redirects=[BACK], public=True)
    code = core.code(client_id=program, code_challenge=challenge("z" * 128))
    body = core.trade(code, auth=(), client_id=program, code_verifier="z" * 128).json
    assert core.ask(body["access_token"]).status_code == 200
    assert core.refresh(body["refresh_token"], auth=(), client_id=program).status_code == 200


def test_a_device_may_refresh(core):
    program = core.device_program()
    begun = core.post("/oauth2/device_authorization", client_id=program, scope="models:read").json
    scopes = frozenset({"models:read"})
    core.server.devices.approve(begun["user_code"], "ann", allow=True, scopes=scopes)
    poll = {"client_id": program, "device_code": begun["device_code"]}
    body = core.token(grant_type=DEVICE, **poll).json
    assert body["scope"] == "models:read"
    assert core.refresh(body["refresh_token"], auth=(), client_id=program).status_code == 200
    assert core.token(grant_type=DEVICE, client_id=program).json["error"] == "invalid_request"
    assert core.server.users.get("ann").client == "acme"
    assert PASSWORD not in str(core._witness.events)


def test_an_address_with_a_query_keeps_it():
    assert back("https://a.example/?x=1", {"code": "c"}, "https://i", None) == (
        "https://a.example/?x=1&code=c&iss=https%3A%2F%2Fi"
    )
    assert MACHINE == "client_credentials"
