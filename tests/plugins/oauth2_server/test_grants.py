"""The grants, where they are not attacked: what each gives, and to whom it goes on."""

from __future__ import annotations

import base64
import hashlib

import pytest

from plugins.oauth2_server.clients import CODE, DEVICE, MACHINE, REFRESH
from plugins.oauth2_server.grants import back
from tests.oauth_app import BACK, PASSWORD, challenge
from tests.outside_issuer import EC, EC_OTHER


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
    answer = core.answered(**changed)
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


# -- codes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verifier", ["a" * 43, "z" * 128, "0-._~aZ" * 7])
def test_a_verifier_of_any_allowed_length_opens(shared, verifier):
    """RFC 7636, 4.1: 43 to 128 unreserved characters."""
    code = shared.code(code_challenge=challenge(verifier))
    assert shared.trade(code, code_verifier=verifier).status_code == 200


@pytest.mark.parametrize(
    "verifier",
    ["a" * 42, "a" * 129, "a" * 42 + "+", "a" * 42 + "/", "a" * 42 + "=", "a" * 42 + " ", "ä" * 43],
)
def test_a_verifier_of_another_form_opens_nothing_though_its_hash_is_right(shared, verifier):
    digest = hashlib.sha256(verifier.encode()).digest()
    right = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    answer = shared.trade(shared.code(code_challenge=right), code_verifier=verifier)
    assert answer.status_code == 400
    assert answer.json["error"] in ("invalid_grant", "invalid_request")


@pytest.mark.parametrize("method", ["plain", "S256", ""])
def test_attack_a_method_named_where_the_code_is_traded_changes_nothing(shared, method):
    """What was said when the code was asked for counts; the challenge itself is no verifier."""
    answer = shared.trade(
        shared.code(), code_verifier=challenge(), code_challenge_method=method, code_challenge="x"
    )
    assert answer.json["error"] == "invalid_grant"


@pytest.mark.parametrize("left_out", ["code", "redirect_uri", "code_verifier"])
def test_a_code_is_traded_with_all_that_belongs_to_it(shared, left_out):
    words = {} if left_out == "code" else {left_out: None}
    answer = shared.trade(None if left_out == "code" else shared.code(), **words)
    assert answer.status_code == 400
    assert answer.json["error"] in ("invalid_grant", "invalid_request")


def test_attack_a_code_used_for_another_grant(shared):
    """Each text stands for one thing."""
    code, pair = shared.code(), shared.pair()
    assert shared.refresh(code).json["error"] == "invalid_grant"
    assert shared.trade(pair["refresh_token"]).json["error"] == "invalid_grant"
    assert shared.trade(pair["access_token"]).json["error"] == "invalid_grant"
    assert shared.refresh(pair["access_token"]).json["error"] == "invalid_grant"
    assert shared.trade(code).status_code == 200


def test_attack_a_scope_added_where_the_code_is_traded(shared):
    """What the person agreed to is what there is."""
    body = shared.trade(shared.code(), scope="models:read predict other").json
    assert body["scope"] == "models:read"


def test_a_grant_ends_with_the_client_whose_program_it_is(core):
    code, pair = core.code(), core.pair()
    core.clients.set_enabled("partner", enabled=False)
    for answer in core.trade(code), core.refresh(pair["refresh_token"]):
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    core.clients.set_enabled("partner", enabled=True)
    assert core.trade(code).status_code == 200  # it had not been looked at
    assert core.refresh(pair["refresh_token"]).status_code == 200


# -- refreshing ----------------------------------------------------------------------------


def test_each_refresh_gives_another_token_and_ends_the_one_before(shared):
    """RFC 9700, 4.14.2: rotation, so that a copy is noticed."""
    pair = shared.pair()
    seen = {pair["refresh_token"]}
    for _ in range(4):
        pair = shared.refresh(pair["refresh_token"]).json
        assert pair["refresh_token"] not in seen
        seen.add(pair["refresh_token"])
    assert shared.ask(pair["access_token"]).status_code == 200


@pytest.mark.parametrize("back", [1, 2, 4])
def test_attack_a_refresh_token_from_long_ago_ends_the_family(core, back):
    """However many came after it."""
    pairs = [core.pair()]
    for _ in range(4):
        pairs.append(core.refresh(pairs[-1]["refresh_token"]).json)
    old = pairs[-1 - back]["refresh_token"]
    assert core.refresh(old).json["error"] == "invalid_grant"
    assert core.refresh(pairs[-1]["refresh_token"]).json["error"] == "invalid_grant"
    assert all(core.ask(pair["access_token"]).status_code == 401 for pair in pairs)
    assert core.happened("authn_token_reuse")


def test_attack_a_replay_ends_one_family_and_no_other(shared):
    """Whoever steals one token must not be able to sign everybody out."""
    mine, other = shared.pair(), shared.pair()
    shared.refresh(mine["refresh_token"])
    shared.refresh(mine["refresh_token"])
    assert shared.ask(mine["access_token"]).status_code == 401
    assert shared.ask(other["access_token"]).status_code == 200
    assert shared.refresh(other["refresh_token"]).status_code == 200


@pytest.mark.parametrize("scope", ["other", "predict", "models:read other", "models:read root"])
def test_attack_a_refresh_asks_for_more_than_was_agreed_to(shared, scope):
    """RFC 6749, 6: not even what program and person both hold; and the token is not spent."""
    pair = shared.pair(scope="models:read")
    assert shared.refresh(pair["refresh_token"], scope=scope).json["error"] == "invalid_scope"
    assert shared.refresh(pair["refresh_token"]).json["scope"] == "models:read"


@pytest.mark.parametrize("who", ["acme", "partner"])
def test_a_right_that_was_lost_is_not_refreshed_and_comes_back_with_its_owner(core, who):
    pair = core.pair(scope="models:read predict")
    rights = core.clients.get(who).scopes
    core.clients.change(who, scopes=["predict"])
    less = core.refresh(pair["refresh_token"]).json
    assert less["scope"] == "predict"
    core.clients.change(who, scopes=["something:else"])
    nothing = core.refresh(less["refresh_token"])
    assert nothing.json["error"] == "invalid_scope"
    core.clients.change(who, scopes=rights)
    assert core.refresh(less["refresh_token"]).json["scope"] == "models:read predict"


def test_a_refresh_while_the_person_is_shut_out_spends_nothing(core):
    pair = core.pair()
    core.clients.set_enabled("acme", enabled=False)
    assert core.refresh(pair["refresh_token"]).json["error"] == "invalid_grant"
    core.clients.set_enabled("acme", enabled=True)
    assert core.refresh(pair["refresh_token"]).status_code == 200


# -- proofs of possession ------------------------------------------------------------------


@pytest.fixture
def bound(core):
    """A public program with a key, and the tokens it holds."""
    program, _ = core.program(grants=[CODE, REFRESH], redirects=[BACK], public=True)
    code = core.code(client_id=program)
    headers = {"DPoP": core.dpop(EC, jti="first")}
    return program, core.trade(code, auth=(), client_id=program, headers=headers).json


def test_attack_a_bound_refresh_token_without_its_key_is_not_even_spent(core, bound):
    """RFC 9449, 5: of a public program it is bound; a thief's try costs the owner nothing."""
    program, pair = bound
    text = pair["refresh_token"]
    for headers in ({}, {"DPoP": core.dpop(EC_OTHER, jti="thief")}):
        answer = core.refresh(text, auth=(), client_id=program, headers=headers)
        assert answer.json["error"] == "invalid_grant"
    headers = {"DPoP": core.dpop(EC, jti="owner")}
    assert core.refresh(text, auth=(), client_id=program, headers=headers).status_code == 200


def test_what_is_refreshed_stays_bound_to_the_key(core, bound):
    program, pair = bound
    headers = {"DPoP": core.dpop(EC, jti="second")}
    body = core.refresh(pair["refresh_token"], auth=(), client_id=program, headers=headers).json
    assert body["token_type"] == "DPoP"
    assert core.ask(body["access_token"]).status_code == 401
    shown = core.dpop(EC, body["access_token"], jti="third")
    assert core.ask(body["access_token"], scheme="DPoP", DPoP=shown).status_code == 200


def test_attack_a_key_laid_over_tokens_of_a_bearer(shared):
    """A thief who has a bearer's refresh token cannot make it his own and lock the owner out."""
    program, _ = shared.program(grants=[CODE, REFRESH], redirects=[BACK], public=True)
    pair = shared.trade(shared.code(client_id=program), auth=(), client_id=program).json
    headers = {"DPoP": shared.dpop(EC_OTHER, jti="thief")}
    stolen = shared.refresh(pair["refresh_token"], auth=(), client_id=program, headers=headers)
    answer = shared.refresh(pair["refresh_token"], auth=(), client_id=program)
    assert answer.json["error"] == "invalid_grant"  # the owner's own shows that it was copied
    ended = shared.refresh(
        stolen.json["refresh_token"], auth=(), client_id=program,
        headers={"DPoP": shared.dpop(EC_OTHER, jti="again")},
    )  # fmt: skip
    assert ended.json["error"] == "invalid_grant"
