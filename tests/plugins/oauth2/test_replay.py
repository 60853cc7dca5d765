"""Used proofs: each is taken once, in whichever worker, and the memory has an end."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from plugins.oauth2.replay import Replays, TooManyProofs
from secureml.state.store import Store
from secureml.testing import START, Harness


@pytest.fixture
def harness(tmp_path):
    harness = Harness(tmp_path)
    yield harness
    harness.store.close()


def held(store):
    with store.read() as connection:
        return connection.execute(sa.text("SELECT count(*) FROM oauth2_proofs")).scalar_one()


def test_a_proof_is_taken_once(harness):
    replays = Replays(harness.store, harness.clock)

    assert replays.first("a", START + 300)
    assert not replays.first("a", START + 300)
    assert replays.first("b", START + 300)


def test_another_worker_sees_it(harness, tmp_path):
    assert Replays(harness.store, harness.clock).first("a", START + 300)
    other = Store(f"sqlite:///{tmp_path / 'secureml.db'}")

    assert not Replays(other, harness.clock).first("a", START + 300)
    other.close()


def test_of_many_at_once_one_is_first(harness):
    replays = Replays(harness.store, harness.clock)
    verdicts = []
    threads = [
        threading.Thread(target=lambda: verdicts.append(replays.first("a", START + 300)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(verdicts) == [False] * 7 + [True]


def test_old_proofs_are_forgotten_and_young_ones_are_not(harness):
    replays = Replays(harness.store, harness.clock)
    replays.first("old", START + 10)
    replays.first("young", START + 300)
    harness.clock.advance(61)
    replays.first("new", START + 400)

    assert held(harness.store) == 2
    assert not replays.first("young", START + 300)


def test_a_full_memory_refuses_rather_than_forgets(harness):
    replays = Replays(harness.store, harness.clock, most=2)
    replays.first("a", START + 300)
    replays.first("b", START + 300)
    harness.clock.advance(61)

    with pytest.raises(TooManyProofs):
        replays.first("c", START + 400)
    assert held(harness.store) == 2
    harness.clock.advance(300)
    assert replays.first("c", START + 700)


def test_what_is_cached_elsewhere_stays(harness):
    """A used proof concerns no client and no key."""
    replays = Replays(harness.store, harness.clock)
    before = harness.store.versions()
    replays.first("a", START + 300)

    assert harness.store.versions() is before
