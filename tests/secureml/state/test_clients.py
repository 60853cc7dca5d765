"""Clients: who may call, as it is at this request."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.state.clients import Client, ClientError, Clients
from secureml.state.store import Store, StoreUnavailable

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@pytest.fixture
def store(tmp_path):
    """A real store."""
    found = Store(f"sqlite:///{tmp_path / 'secureml.db'}")
    yield found
    found.close()


@pytest.fixture
def clients(store):
    """Clients made at second one."""
    return Clients(store, lambda: 1.0)


def test_a_client_is_what_it_was_added_as(clients):
    """Name, tier, scopes and models."""
    added = clients.add("alice", tier="gold", scopes=["predict"], models=["iris"])

    assert added == clients.get("alice")
    assert added == Client("alice", "gold", frozenset({"predict"}), frozenset({"iris"}), True, 1.0)


def test_by_default_a_client_predicts_and_reads_all_models(clients):
    """What nearly every client is for; more takes a word."""
    added = clients.add("bob")

    assert (added.scopes, added.models, added.tier) == (
        {"predict", "models:read"},
        {"*"},
        "standard",
    )


def test_an_unknown_client_is_none(clients):
    """And becomes known the moment it is added."""
    assert clients.get("carol") is None
    clients.add("carol")
    assert clients.get("carol") is not None


def test_a_second_of_the_same_name_is_refused(clients):
    """The first stays as it is."""
    clients.add("alice", tier="gold")

    with pytest.raises(ClientError, match="already"):
        clients.add("alice")
    assert clients.get("alice").tier == "gold"


def test_disabling_is_seen_through_another_handle(store, clients, tmp_path):
    """As by a worker of another process."""
    worker = Clients(Store(f"sqlite:///{tmp_path / 'secureml.db'}"), lambda: 2.0)
    clients.add("alice")
    assert worker.get("alice").enabled

    clients.set_enabled("alice", enabled=False)

    assert not worker.get("alice").enabled
    clients.set_enabled("alice", enabled=True)
    assert worker.get("alice").enabled


def test_a_client_that_does_not_exist_cannot_be_switched(clients):
    """A typo must not look like success."""
    with pytest.raises(ClientError, match="no client"):
        clients.set_enabled("nobody", enabled=False)


def test_clients_are_listed_by_name(clients):
    """All of them, the disabled too."""
    for name in ("b", "a", "c"):
        clients.add(name)
    clients.set_enabled("b", enabled=False)

    assert [client.name for client in clients.list()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "words",
    [
        {"name": ""},
        {"name": "Alice"},
        {"name": "a" * 64},
        {"name": "a b"},
        {"name": "a\n"},
        {"name": "../a"},
        {"name": "a", "tier": "Gold!"},
        {"name": "a", "scopes": ["Predict"]},
        {"name": "a", "models": ["../iris"]},
        {"name": "a", "models": [""]},
    ],
)
def test_names_that_could_be_more_than_names_are_refused(clients, words):
    """They end up in logs, paths and headers."""
    with pytest.raises(ClientError, match="is no"):
        clients.add(**words)


@given(st.text(max_size=70))
def test_any_text_is_a_client_name_or_refused(text):
    """Never anything else."""
    clients = Clients(Store("sqlite:////nowhere/at/all.db"), lambda: 1.0)
    try:
        clients.add(text)
    except (ClientError, StoreUnavailable) as error:
        assert isinstance(error, StoreUnavailable) is bool(NAME.fullmatch(text))


def test_no_scopes_at_all_is_a_client_without_rights(clients):
    """Only what is not said has a default."""
    added = clients.add("nothing", scopes=[], models=[])

    assert (added.scopes, added.models) == (frozenset(), frozenset())
    assert clients.get("nothing") == added


def test_the_refusal_of_a_name_says_what_a_name_is(clients):
    """In one line, whatever was offered."""
    with pytest.raises(ClientError, match="a-z 0-9") as refused:
        clients.add("Alice\n" * 1000)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_client_that_is_known_is_not_read_again_until_one_changed(store, clients, monkeypatch):
    """On the path of every request it costs a look at the counter."""
    clients.add("alice")
    first = clients.get("alice")
    monkeypatch.setattr(store, "read", None)

    assert clients.get("alice") is first


def test_attack_made_up_names_do_not_fill_the_memory(clients, monkeypatch):
    """Names may come out of a token."""
    monkeypatch.setattr("secureml.state.clients.CACHE_SIZE", 8)
    clients.add("alice")
    for number in range(30):
        assert clients.get(f"x{number}") is None
        assert len(clients._cache[1]) <= 8
    assert clients.get("alice").enabled


def test_a_store_that_cannot_be_asked_lets_nobody_in(clients, tmp_path):
    """What was true a moment ago is no permission now."""
    clients.add("alice")
    assert clients.get("alice").enabled
    (tmp_path / "secureml.db").unlink()

    with pytest.raises(StoreUnavailable):
        clients.get("alice")
