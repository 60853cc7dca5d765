"""Who asks, with the rights of this moment."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.clients import CODE, MACHINE


@pytest.fixture
def party(core):
    return core.server.active_clients.get(core.web)


def test_what_is_asked_for_is_given_whole_or_not_at_all(party):
    assert party.requested_scopes(None) == party.rights == {"predict", "models:read", "other"}
    assert party.get_allowed_scope("predict  other") == "other predict"
    assert party.get_allowed_scope("predict root") is None
    assert party.requested_scopes("  ") is None


def test_an_address_is_never_assumed(party):
    assert party.get_default_redirect_uri() == ""
    assert party.check_redirect_uri("https://app.example.org/back")
    assert not party.check_redirect_uri("https://app.example.org/back\udc80")


def test_only_its_own_grants(party):
    assert party.check_grant_type(CODE)
    assert not party.check_grant_type(MACHINE)
    assert party.check_response_type("code")
    assert not party.check_response_type("token")
    assert party.get_client_id() == party.record.id


def test_nobody_without_a_application_client_that_is_let_in(core):
    active_clients = core.server.active_clients
    assert active_clients.get(None) is active_clients.get("") is active_clients.get("x") is None
    core.clients.set_enabled("partner", enabled=False)
    assert active_clients.get(core.web) is None
    orphan, _ = core.program("nobody", grants=[MACHINE])
    assert active_clients.get(orphan) is None


@pytest.mark.parametrize(
    "scope", ["root", "predict root", "Predict", "predict,other", "*", "predict@x"]
)
def test_attack_a_scope_that_is_nearly_one_of_its_own(party, scope):
    assert party.requested_scopes(scope) is None
    assert party.get_allowed_scope(scope) is None


@pytest.mark.parametrize(
    "uri", ["", " ", "https://app.example.org/bac", "https://app.example.org/back/"]
)
def test_an_address_is_one_of_the_registered_byte_for_byte(party, uri):
    assert not party.check_redirect_uri(uri)


def test_rights_follow_the_local_client_at_once(core):
    """Narrowed by the record, and never wider than what is held now."""
    program, _ = core.program(grants=[MACHINE], scopes=["predict", "more"])
    assert core.server.active_clients.get(program).rights == {"predict"}
    core.clients.change("partner", scopes=["predict", "more", "other"])
    assert core.server.active_clients.get(program).rights == {"predict", "more"}
    core.clients.change("partner", scopes=["other"])
    party = core.server.active_clients.get(program)
    assert party.rights == frozenset()
    assert party.requested_scopes(None) is None


def test_who_was_ended_is_nobody_from_the_next_look_on(core):
    active_clients = core.server.active_clients
    assert active_clients.get(core.web)
    core.server.clients.revoke(core.web)
    assert active_clients.get(core.web) is None
    core.clients.set_enabled("partner", enabled=False)
    assert active_clients.get(core.machine) is None
    core.clients.set_enabled("partner", enabled=True)
    assert active_clients.get(core.machine)


@pytest.mark.parametrize("kind", ["token", "id_token", "none", "", "code token", "CODE", "code "])
def test_only_a_code_is_answered_with(party, kind):
    assert not party.check_response_type(kind)
