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


def test_attack_ids_too_long_to_be_one_are_not_remembered(clients):
    """A form holds eight kilobytes, and a name from outside is cached also where it is nobody's."""
    made, _ = clients.add("acme", grants=[MACHINE])
    assert clients.get(made.id)
    for number in range(50):
        assert clients.get(f"oc_{number}" + "x" * 8000) is None
    assert all(len(name) <= 40 for name in clients._cache[1])


def test_two_clients_have_nothing_in_common(clients):
    """Neither id nor secret is made of the other, of the owner or of the time."""
    made = [clients.add("acme", grants=[MACHINE]) for _ in range(10)]
    assert len({client.id for client, _ in made}) == 10
    assert len({secret for _, secret in made}) == 10
    for client, secret in made:
        assert client.id[3:] not in secret
        assert len(secret) == 4 + 43


def test_a_client_narrowed_to_nothing_has_nothing(clients):
    made, _ = clients.add("acme", grants=[MACHINE], scopes=[])
    assert clients.get(made.id).scopes == frozenset()
    assert made.narrowed(frozenset({"predict"})) == frozenset()


def test_a_right_the_owner_does_not_hold_is_not_given_by_the_record(clients):
    made, _ = clients.add("acme", grants=[MACHINE], scopes=["predict", "root"])
    assert made.narrowed(frozenset()) == frozenset()
    assert made.narrowed(frozenset({"root:other"})) == frozenset()


@pytest.mark.parametrize(
    ("grants", "redirects", "public"),
    [
        ([CODE], [BACK], True),
        ([CODE, REFRESH], [BACK, f"{BACK}2"], False),
        ([DEVICE], [], True),
        ([DEVICE, REFRESH], [], False),
        ([MACHINE], [], False),
        ([MACHINE, CODE, DEVICE, REFRESH], [BACK], False),
    ],
)
def test_whatever_makes_sense_is_kept_as_it_was_added(clients, harness, grants, redirects, public):
    made, secret = clients.add("acme", grants=grants, redirects=redirects, public=public, dpop=True)
    found = OAuthClients(harness.store, harness.clock, str).get(made.id)
    assert found == made
    assert (found.grants, found.redirects) == (set(grants), set(redirects))
    assert (found.dpop, found.label, secret is None) == (True, "acme", public)


def test_a_refused_client_leaves_nothing_behind(clients):
    for words in ({"grants": [CODE]}, {"grants": [MACHINE], "public": True}):
        with pytest.raises(ClientFault):
            clients.add("acme", **words)
    assert clients.list() == []


def test_the_store_holds_no_secret(clients, harness):
    other = OAuthClients(harness.store, harness.clock, lambda _text: "a hash")
    made, secret = other.add("acme", grants=[MACHINE])
    _, next_secret = other.rotate(made.id)
    written = b"".join(path.read_bytes() for path in harness.folder.glob("secureml.db*"))
    assert made.id.encode() in written
    for text in secret, next_secret:
        assert text.encode() not in written


@pytest.mark.parametrize("name", ["", "x", "oc_", "OC_", "' OR 1=1--", "\x00", "é"])
def test_what_is_no_id_is_nobody(clients, name):
    clients.add("acme", grants=[MACHINE])
    assert clients.get(name) is None


def test_a_revoked_client_does_not_come_back_by_a_new_secret(clients):
    made, _ = clients.add("acme", grants=[MACHINE])
    clients.revoke(made.id)
    with pytest.raises(ClientFault):
        clients.rotate(made.id)
    assert clients.get(made.id) is None
