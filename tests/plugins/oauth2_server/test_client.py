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
