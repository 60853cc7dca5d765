"""Who is kept out in one worker is kept out in all, until it is over or lifted."""

from __future__ import annotations

from contextlib import closing

import pytest

from plugins.anomaly import bars as bars_module
from plugins.anomaly.bars import Bar, Bars
from secureml import Store
from secureml.testing import Clock

WHO = "address:192.0.2.1"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workers(tmp_path, clock):
    """Two workers on one store."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield [(store, Bars(store, clock)) for store in (one, other)]


def bar(store, bars, until, kind="ban", seen=0.0):
    with store.begin() as connection:
        return bars.set(connection, Bar(WHO, kind, 0.0, until, "why"), seen)


def test_a_bar_is_seen_by_the_other_worker_at_once(workers, clock):
    (store, bars), (_, other) = workers
    assert other.standing(WHO) is None
    bar(store, bars, clock() + 60)
    assert other.standing(WHO).kind == "ban"
    assert other.standing("address:192.0.2.2") is None


def test_a_ban_ends_by_itself_and_a_hold_does_not(workers, clock):
    (store, bars), (_, other) = workers
    bar(store, bars, clock() + 60)
    clock.advance(60)
    assert other.standing(WHO) is None
    assert bars.list() == []
    bar(store, bars, None, "hold")
    clock.advance(10**8)
    assert other.standing(WHO).kind == "hold"


def test_what_is_lifted_is_gone_for_all(workers, clock):
    (store, bars), (_, other) = workers
    bar(store, bars, None, "hold")
    assert other.standing(WHO)
    assert bars.lift(WHO)
    assert other.standing(WHO) is None
    assert not bars.lift(WHO)


def test_what_was_seen_before_the_lifting_bars_nobody_again(workers, clock):
    (store, bars), (other_store, other) = workers
    assert bar(store, bars, None, "hold")
    seen = clock()
    clock.advance(1)
    bars.lift(WHO)
    assert not bar(other_store, other, None, "hold", seen)
    assert bars.standing(WHO) is None
    assert bars.list() == []
    assert other.forgiven() == {WHO: clock()}
    assert bar(other_store, other, None, "hold", clock() + 1)
    assert bars.standing(WHO).kind == "hold"


def test_a_newer_bar_takes_the_place_of_an_older(workers, clock):
    (store, bars), _ = workers
    bar(store, bars, clock() + 60)
    bar(store, bars, None, "hold")
    assert [found.kind for found in bars.list()] == ["hold"]


def test_looking_again_costs_no_question_while_nothing_changed(workers, monkeypatch):
    (_, bars), _ = workers
    bars.standing(WHO)
    monkeypatch.setattr(bars, "_read", lambda: pytest.fail("read again"))
    assert bars.standing(WHO) is None


def put(store, bars, subject, until, kind="ban", since=0.0):
    with store.begin() as connection:
        assert bars.set(connection, Bar(subject, kind, since, until, "why"), 0.0)


def test_attack_bans_that_are_over_are_not_kept(workers, clock):
    (store, bars), (_, other) = workers
    for number in range(50):
        put(store, bars, f"address:{number}", clock() + 60)
        clock.advance(61)
    assert len(bars._read()) == 1
    assert other.list() == []


def test_attack_who_is_kept_out_has_a_bound_and_a_held_client_goes_last(
    workers, clock, monkeypatch
):
    """However many addresses strangers are banned by, nobody who is held comes in."""
    monkeypatch.setattr(bars_module, "MOST", 20)
    (store, bars), (_, other) = workers
    put(store, bars, "client:mallory", None, "hold")
    put(store, bars, "client:forgiven", None, "hold")
    bars.lift("client:forgiven")
    for number in range(100):
        put(store, bars, f"address:{number}", clock() + 1000 + number)
        assert len(bars._read()) <= 20
    assert other.standing("client:mallory").kind == "hold"
    assert "client:forgiven" not in bars._read()
    assert other.standing("address:99")
    assert not other.standing("address:0"), "the ban that ends soonest gave way"


def test_attack_holds_have_a_bound_too(workers, clock, monkeypatch):
    monkeypatch.setattr(bars_module, "MOST", 20)
    (store, bars), _ = workers
    for number in range(60):
        put(store, bars, f"address:{number}", None, "hold", float(number))
    assert len(bars.list()) == 20
    assert min(bar.since for bar in bars.list()) == 40.0


def test_who_is_held_stays_held_for_what_it_did_and_not_for_being_refused_since(workers):
    """And no worker reads all bars again for each window of a scanner that goes on."""
    (store, bars), (_, other) = workers
    put(store, bars, WHO, None, "hold", 5.0)
    assert other.standing(WHO)
    before = store.version(bars_module.TOPIC)
    with store.begin() as connection:
        assert bars.set(connection, Bar(WHO, "hold", 9.0, None, "refused 1.00"), 0.0)
    assert (other.standing(WHO).since, other.standing(WHO).why) == (5.0, "why")
    assert store.version(bars_module.TOPIC) == before
