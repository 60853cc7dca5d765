"""Used proofs: each is taken once, in whichever worker, and the memory has an end."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from plugins.oauth2.store import PROOFS
from secureml.kit import proof_replay as replay
from secureml.kit.proof_replay import Replays, TooManyProofs
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
    replays = Replays(harness.store, harness.clock, PROOFS)

    assert replays.first("a", START + 300, "acme")
    assert not replays.first("a", START + 300, "acme")
    assert replays.first("b", START + 300, "acme")


def test_another_worker_sees_it(harness, tmp_path):
    assert Replays(harness.store, harness.clock, PROOFS).first("a", START + 300, "acme")
    other = Store(f"sqlite:///{tmp_path / 'secureml.db'}")

    assert not Replays(other, harness.clock, PROOFS).first("a", START + 300, "acme")
    other.close()


def test_of_many_at_once_one_is_first(harness):
    replays = Replays(harness.store, harness.clock, PROOFS)
    verdicts = []
    threads = [
        threading.Thread(target=lambda: verdicts.append(replays.first("a", START + 300, "acme")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(verdicts) == [False] * 7 + [True]


def test_old_proofs_are_forgotten_and_young_ones_are_not(harness):
    replays = Replays(harness.store, harness.clock, PROOFS)
    replays.first("old", START + 10, "acme")
    replays.first("young", START + 300, "acme")
    harness.clock.advance(11 + replay.MARGIN)
    replays.first("new", START + 1400, "acme")

    assert held(harness.store) == 2
    assert not replays.first("young", START + 300, "acme")


@pytest.mark.parametrize("ahead", [61.0, 301.0, 890.0])
def test_attack_a_clock_set_forward_and_back_takes_no_proof_twice(harness, ahead):
    """What was swept while it was ahead would be good again."""
    replays = Replays(harness.store, harness.clock, PROOFS)
    assert replays.first("a", START + 300, "acme")
    harness.clock.advance(ahead)
    replays.first("b", START + ahead + 300, "acme")
    harness.clock.advance(-ahead)
    assert not replays.first("a", START + 300, "acme")


def test_proofs_kept_for_a_clock_set_back_are_of_nobodys_share(harness):
    replays = Replays(harness.store, harness.clock, PROOFS, most=2)
    for number in range(6):
        assert replays.first(f"{number}", harness.clock() + 50, "acme")
        harness.clock.advance(61)


def test_a_full_memory_refuses_rather_than_forgets(harness):
    replays = Replays(harness.store, harness.clock, PROOFS, most=2)
    replays.first("a", START + 300, "acme")
    replays.first("b", START + 300, "acme")
    harness.clock.advance(61)

    with pytest.raises(TooManyProofs):
        replays.first("c", START + 400, "acme")
    assert held(harness.store) == 2
    harness.clock.advance(300)
    assert replays.first("c", START + 700, "acme")


def test_attack_whoever_fills_its_share_stops_nobody_else(harness):
    """Each holder has a share of its own, in every worker, and a full one refuses its holder."""
    replays = Replays(harness.store, harness.clock, PROOFS, most=20)

    def flood():
        for number in range(50):
            harness.clock.advance(61 if number % 20 == 0 else 0)
            replays.first(f"evil-{number}", START + 9000, "evil")

    with pytest.raises(TooManyProofs):
        flood()
    full = held(harness.store)

    assert full <= 40  # the share, and what fits between two looks
    for number in range(10):
        assert replays.first(f"acme-{number}", START + 9000, "acme")
    with pytest.raises(TooManyProofs):
        replays.first("evil-again", START + 9000, "evil")
    assert held(harness.store) == full + 10


def test_a_share_is_looked_at_after_so_many_uses_even_within_a_moment(harness, monkeypatch):
    """However fast it comes, what is kept has a bound."""
    monkeypatch.setattr(replay, "_SWEEP_USES", 10)
    replays = Replays(harness.store, harness.clock, PROOFS, most=15)

    def flood():
        for number in range(100):
            replays.first(f"p-{number}", START + 300, "evil")

    with pytest.raises(TooManyProofs):
        flood()

    assert held(harness.store) <= 15 + 10


def test_what_is_cached_elsewhere_stays(harness):
    """A used proof concerns no client and no key."""
    replays = Replays(harness.store, harness.clock, PROOFS)
    before = harness.store.versions()
    replays.first("a", START + 300, "acme")

    assert harness.store.versions() is before
