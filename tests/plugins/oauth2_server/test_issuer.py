"""Issuing: the record first, and nothing where the record cannot be."""

from __future__ import annotations

import pytest
from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidScopeError

from plugins.oauth2_server.clients import MACHINE
from plugins.oauth2_server.issuer import TokenSpec
from plugins.oauth2_server.opaque_tokens import digest
from plugins.oauth2_server.request import OAuth2Request, RequestData
from tests.oauth_app import PASSWORD
from tests.outside_issuer import EC
from tests.token_app import unpack


@pytest.fixture
def asked(core):
    emitted = []
    shown = RequestData(
        "https://ml.example.org/t", "POST", {}, "", None, lambda *w, **f: emitted.append(w)
    )
    made = OAuth2Request(shown)
    made.client, made.emitted = core.server.active_clients.get(core.web), emitted
    return made


def spec(family="", refresh=True):
    return TokenSpec(MACHINE, frozenset({"predict"}), family, None, refresh)


def test_every_token_has_its_family_on_record(core, asked):
    issuer, families = core.server.engine.token_issuer, core.server.families
    body = issuer.issue(asked, spec())
    family = families.for_refresh_digest(digest(body["refresh_token"]))
    assert (family.oauth_client, family.subject) == (core.web, "")
    assert "refresh_token" not in issuer.issue(asked, spec(refresh=False))
    assert [words[0] for words in asked.emitted] == ["authn_token_created"] * 2


def test_an_access_token_does_not_outlive_its_family(core, asked):
    issuer, families = core.server.engine.token_issuer, core.server.families
    text = issuer.issue(asked, spec())["refresh_token"]
    core.clock.advance(30 * 86400 - 60)
    body = issuer.refresh(
        asked, families.for_refresh_digest(digest(text)), text, frozenset({"predict"})
    )
    assert body["expires_in"] == 60


def test_nothing_is_issued_for_what_was_ended_meanwhile(core, asked):
    core.server.families.end("f" * 32)
    with pytest.raises(InvalidGrantError):
        core.server.engine.token_issuer.issue(asked, spec("f" * 32))
    assert asked.emitted == []


def test_of_two_refreshes_at_once_one_is_a_replay(core, asked):
    issuer, families = core.server.engine.token_issuer, core.server.families
    text = issuer.issue(asked, spec())["refresh_token"]
    family = families.for_refresh_digest(digest(text))
    issuer.refresh(asked, family, text, frozenset({"predict"}))
    with pytest.raises(InvalidGrantError):
        issuer.refresh(asked, family, text, frozenset({"predict"}))
    assert asked.emitted[-1][0] == "authn_token_reuse"


def test_a_refresh_with_no_right_left_gives_nothing_and_spends_nothing(core, asked):
    issuer, families = core.server.engine.token_issuer, core.server.families
    text = issuer.issue(asked, spec())["refresh_token"]
    with pytest.raises(InvalidScopeError):
        issuer.refresh(asked, families.for_refresh_digest(digest(text)), text, frozenset())
    assert families.for_refresh_digest(digest(text))


def test_a_clock_set_back_since_a_person_came_costs_them_no_token(core):
    """Else whatever they grant would be another's of the same name, for ever."""
    core.server.users.add("bob", "acme", PASSWORD)
    core.clock.advance(-3)
    assert core.sign_in(name="bob").status_code == 303
    pair = core.pair()
    assert core.ask(pair["access_token"]).status_code == 200
    assert core.refresh(pair["refresh_token"]).status_code == 200


# -- what an answer holds --------------------------------------------------------------------


def test_an_answer_is_that_of_rfc_6749_and_names_what_was_given(shared):
    """5.1: the scope is said always, since it may be less than was asked for."""
    pair = shared.pair(scope="models:read other")
    assert set(pair) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 900)
    assert pair["scope"] == "models:read"


def test_no_two_answers_share_a_token_or_an_id(shared):
    pairs = [shared.pair() for _ in range(3)]
    pairs.append(shared.refresh(pairs[0]["refresh_token"]).json)
    ids = [claims_of(pair["access_token"])["jti"] for pair in pairs]
    families = [claims_of(pair["access_token"])["sid"] for pair in pairs]
    assert len(set(ids)) == 4
    assert len(set(families)) == 3  # what is refreshed stays of its family
    assert families[0] == families[3]
    assert len({pair["refresh_token"] for pair in pairs}) == 4


def test_a_token_says_for_whom_and_by_which_program(shared):
    """RFC 9068, 2.2 and 5: a person's name is never that of a program."""
    person = claims_of(shared.pair()["access_token"])
    machine = claims_of(shared.machine_token()["access_token"])
    assert (person["sub"], person["client_id"]) == ("ann", shared.web)
    assert machine["sub"] == machine["client_id"] == shared.machine
    assert "cnf" not in person


def test_a_token_holds_nothing_of_the_grant_that_was_secret(core):
    """Whoever reads one reads no code, secret, password or refresh token."""
    code = core.code()
    pair = core.trade(code).json
    said = str(claims_of(pair["access_token"]))
    for secret in (code, core.web_secret, PASSWORD, pair["refresh_token"]):
        assert secret not in said
    told = str(core.happened("authn_token_created"))
    for secret in (code, core.web_secret, pair["access_token"], pair["refresh_token"]):
        assert secret not in told


def test_every_token_is_told_with_what_finds_it_again(core):
    token = claims_of(core.machine_token(scope="predict")["access_token"])
    (event,) = core.happened("authn_token_created")
    assert (event["jti"], event["family"]) == (token["jti"], token["sid"])
    assert (event["oauth_client"], event["grant"]) == (core.machine, MACHINE)
    assert event["entitlements"] == "predict"


def test_expires_in_is_whole_seconds_and_never_too_many(core):
    """A clock stands between two seconds most of the time."""
    core.clock.advance(0.75)
    body = core.machine_token()
    claims = claims_of(body["access_token"])
    assert isinstance(body["expires_in"], int)
    assert core.clock() + body["expires_in"] <= claims["exp"] + 1
    core.clock.advance(claims["exp"] - core.clock())
    assert core.ask(body["access_token"]).status_code == 401


def test_attack_a_refresh_does_not_move_the_end_of_a_consent(core):
    """RFC 9700, 4.14.2: what one consent gave ends when it ends."""
    pair = core.pair()
    ends = core.introspect(pair["refresh_token"]).json["exp"]
    for _ in range(3):
        core.clock.advance(1000)
        pair = core.refresh(pair["refresh_token"]).json
        assert core.introspect(pair["refresh_token"]).json["exp"] == ends


def test_a_token_of_a_key_names_the_key_and_no_more(shared):
    auth = (shared.machine, shared.machine_secret)
    headers = {"DPoP": shared.dpop(EC)}
    body = shared.token(auth, headers, grant_type="client_credentials").json
    assert claims_of(body["access_token"])["cnf"] == {"jkt": EC.thumbprint()}


def claims_of(text):
    return unpack(text.split(".")[1])
