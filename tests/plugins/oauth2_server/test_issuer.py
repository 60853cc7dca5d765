"""Issuing: the record first, and nothing where the record cannot be."""

from __future__ import annotations

import pytest
from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidScopeError

from plugins.oauth2_server.clients import MACHINE
from plugins.oauth2_server.issuer import TokenSpec
from plugins.oauth2_server.opaque_tokens import digest
from plugins.oauth2_server.request import OAuth2Request, RequestData
from tests.oauth_app import PASSWORD


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
