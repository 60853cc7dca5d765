"""The grants, where they are not attacked: what each gives, and to whom it goes on."""

from __future__ import annotations

import pytest

from plugins.oauth2.server.clients import CODE, DEVICE, MACHINE, REFRESH
from plugins.oauth2.server.grants import back
from tests.oauth_house import BACK, PASSWORD, challenge
from tests.outside_issuer import EC


def test_a_machine_gets_no_refresh_token(house):
    body = house.machine_token(scope="predict")
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "predict")


def test_a_program_without_the_grant_refresh_gets_none(house):
    program = house.program(grants=[CODE], redirects=[BACK])
    body = house.trade(house.code(client_id=program[0]), auth=program).json
    assert "refresh_token" not in body


@pytest.mark.parametrize("grant", ["authorization_code", "refresh_token", "client_credentials"])
def test_a_grant_it_was_not_given_is_refused(house, grant):
    program = house.program(grants=[DEVICE])
    answer = house.token(program, grant_type=grant, code="x", refresh_token="x")
    assert answer.json["error"] == "unauthorized_client"


def test_a_refresh_may_ask_for_less_and_the_next_for_all_again(house):
    pair = house.pair(scope="models:read predict")
    less = house.refresh(pair["refresh_token"], scope="predict").json
    assert less["scope"] == "predict"
    assert house.refresh(less["refresh_token"]).json["scope"] == "models:read predict"


def test_a_refresh_without_a_token_says_so(house):
    answer = house.token((house.web, house.web_secret), grant_type="refresh_token")
    assert answer.json["error"] == "invalid_request"


def test_a_person_who_left_meanwhile_has_lent_nothing(house):
    pair, code = house.pair(), house.code()
    house.server.users.remove("ann")
    assert house.trade(code).json["error"] == "invalid_grant"
    assert house.refresh(pair["refresh_token"]).json["error"] == "invalid_grant"


def test_a_program_with_a_secret_may_change_its_key(house):
    """It is bound by its secret (RFC 9449, 5); a proof of some key it must still show."""
    pair = house.trade(house.code(), headers={"DPoP": house.dpop(EC)}).json
    assert house.refresh(pair["refresh_token"]).json["error"] == "invalid_grant"
    shown = {"DPoP": house.dpop(EC, jti="p-2")}
    assert house.refresh(pair["refresh_token"], headers=shown).json["token_type"] == "DPoP"


@pytest.mark.parametrize(
    "changed", [{"dpop_jkt": "x"}, {"response_mode": "fragment"}, {"response_mode": "form_post"}]
)
def test_what_cannot_be_kept_is_refused_at_the_first_step(house, changed):
    answer = house.get(house.request(**changed))
    assert "error=invalid_request" in answer.headers["Location"]


def test_a_response_mode_of_query_is_what_there_is(house):
    assert house.get(house.request(response_mode="query")).status_code == 200


def test_a_public_program_may_trade_with_its_verifier_alone(house):
    program, _ = house.program(grants=[CODE, REFRESH], redirects=[BACK], public=True)
    code = house.code(client_id=program, code_challenge=challenge("z" * 128))
    body = house.trade(code, auth=(), client_id=program, code_verifier="z" * 128).json
    assert house.ask(body["access_token"]).status_code == 200
    assert house.refresh(body["refresh_token"], auth=(), client_id=program).status_code == 200


def test_a_device_may_refresh(house):
    program = house.device_program()
    begun = house.post("/oauth2/device_authorization", client_id=program, scope="models:read").json
    scopes = frozenset({"models:read"})
    house.server.devices.decide(begun["user_code"], "ann", allow=True, scopes=scopes)
    poll = {"client_id": program, "device_code": begun["device_code"]}
    body = house.token(grant_type=DEVICE, **poll).json
    assert body["scope"] == "models:read"
    assert house.refresh(body["refresh_token"], auth=(), client_id=program).status_code == 200
    assert house.token(grant_type=DEVICE, client_id=program).json["error"] == "invalid_request"
    assert house.server.users.get("ann").client == "acme"
    assert PASSWORD not in str(house._witness.events)


def test_an_address_with_a_query_keeps_it():
    assert back("https://a.example/?x=1", {"code": "c"}, "https://i", None) == (
        "https://a.example/?x=1&code=c&iss=https%3A%2F%2Fi"
    )
    assert MACHINE == "client_credentials"
