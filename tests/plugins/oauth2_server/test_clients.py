"""OAuth clients: added with rules, found while they stand, rotated, revoked."""

from __future__ import annotations

import pytest

from plugins.oauth2_server import clients as module
from plugins.oauth2_server.clients import CODE, DEVICE, MACHINE, REFRESH, ClientFault, OAuthClients

BACK = "https://app.example.org/back"


@pytest.fixture
def clients(harness):
    return OAuthClients(harness.store, harness.clock, "hash of {}".format)


def test_a_secret_is_shown_once_and_kept_hashed(clients):
    made, secret = clients.add("acme", grants=[MACHINE])
    assert secret.startswith("scs_")
    assert clients.get(made.id) == made
    assert made.secret == f"hash of {secret}"
    assert secret not in repr(made)
    assert made.id.startswith("oc_")


def test_a_public_client_has_no_secret(clients):
    made, secret = clients.add("acme", grants=[DEVICE], public=True)
    assert (made.secret, secret) == (None, None)
    with pytest.raises(ClientFault, match="public"):
        clients.rotate(made.id)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"grants": []}, "needs a grant"),
        ({"grants": [REFRESH]}, "needs a grant"),
        ({"grants": ["password"]}, "no grant 'password'"),
        ({"grants": [CODE]}, "go together"),
        ({"grants": [MACHINE], "redirects": [BACK]}, "go together"),
        ({"grants": [MACHINE], "public": True}, "proves nothing"),
        ({"grants": [MACHINE, REFRESH]}, "simply asks again"),
    ],
)
def test_what_makes_no_sense_is_refused(clients, words, why):
    with pytest.raises(ClientFault, match=why):
        clients.add("acme", **words)


def test_a_rotation_replaces_the_secret(clients):
    made, old = clients.add("acme", grants=[MACHINE])
    _, new = clients.rotate(made.id)
    assert new != old
    assert clients.get(made.id).secret == f"hash of {new}"


def test_a_revoked_client_is_gone_and_still_listed(clients, harness):
    made, _ = clients.add("acme", grants=[MACHINE])
    clients.add("other", grants=[MACHINE])
    clients.revoke(made.id)
    assert clients.get(made.id) is None
    assert [item.revoked for item in clients.list("acme")] == [harness.clock()]
    assert len(clients.list()) == 2
    for change in (clients.revoke, clients.rotate):
        with pytest.raises(ClientFault, match="no OAuth client"):
            change(made.id)


def test_rights_are_those_of_the_application_client_narrowed(clients):
    wide, _ = clients.add("acme", grants=[MACHINE])
    narrow, _ = clients.add("acme", grants=[MACHINE], scopes=["predict", "root"])
    held = frozenset({"predict", "models:read"})
    assert wide.narrowed(held) == held
    assert narrow.narrowed(held) == {"predict"}
    assert clients.get(narrow.id).scopes == {"predict", "root"}


def test_another_worker_sees_a_change_at_once(clients, harness):
    other = OAuthClients(harness.store, harness.clock, str)
    made, _ = clients.add("acme", grants=[MACHINE])
    assert other.get(made.id) is not None
    clients.revoke(made.id)
    assert other.get(made.id) is None


def test_names_from_outside_do_not_fill_the_memory(clients, monkeypatch):
    monkeypatch.setattr(module, "CACHE_SIZE", 3)
    for number in range(10):
        assert clients.get(f"oc_{number}") is None
    assert len(clients._cache[1]) <= 3
