"""Failures in all workers are one count; only a wait makes the others look again."""

from __future__ import annotations

from contextlib import closing
from multiprocessing import get_context

import pytest

from plugins.brute_force import ledger as module
from plugins.brute_force.ledger import Ledger, Wait
from plugins.brute_force.waits import Rules
from secureml import Store
from secureml.testing import Clock

RULES = Rules(free=3, first=10.0, longest=600.0, forget=3600.0)
WHO = "address:192.0.2.1"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workers(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield [Ledger(store, clock, 86400.0) for store in (one, other)]


def test_failures_in_two_workers_are_one_count_and_both_make_wait(workers, clock):
    one, other = workers
    found = [worker.fail(WHO, RULES) for worker in (one, other, one, other)]
    assert found == [None, None, None, Wait(WHO, 4, clock() + 10)]
    assert one.waits(WHO) == other.waits(WHO) == 10.0
    clock.advance(10)
    assert one.waits(WHO) == other.waits(WHO) == 0.0


def test_a_failure_that_costs_nothing_makes_nobody_forget_their_caches(workers):
    one, other = workers
    other.waits(WHO)
    before = other._store.versions()
    one.fail(WHO, RULES)
    assert other._store.versions() is before


def test_what_is_lifted_is_forgotten_everywhere(workers):
    one, other = workers
    for _ in range(5):
        one.fail(WHO, RULES)
    assert [wait.subject for wait in other.list()] == [WHO]
    assert other.lift(WHO)
    assert one.waits(WHO) == 0.0
    assert one.fail(WHO, RULES) is None
    assert other.lift(WHO)
    assert not other.lift(WHO)


def test_who_has_proven_itself_is_known_to_all_for_a_while(workers, clock):
    one, other = workers
    assert not other.proven("pair:a@b")
    one.succeed("pair:a@b")
    one.succeed("pair:a@b")
    assert other.proven("pair:a@b")
    assert not other.proven("pair:a@c")
    clock.advance(86401)
    one.succeed("pair:x@y")
    assert not other.proven("pair:a@b")


def test_what_is_long_past_is_swept_and_too_many_too_but_nobody_who_waits(
    workers, clock, monkeypatch
):
    monkeypatch.setattr(module, "_SWEEP", 1)
    monkeypatch.setattr(module, "MOST", 5)
    one, _ = workers
    one.fail("old", RULES)
    clock.advance(10_000)
    for _ in range(5):
        one.fail(WHO, RULES)
    for number in range(20):
        one.fail(f"other:{number}", RULES)
    assert one.waits(WHO) > 0
    assert not one.lift("old")
    assert not one.lift("other:0")
    assert one.lift("other:19")


def guess(url, times):
    with closing(Store(url)) as store:
        mine = Ledger(store, Clock(), 86400.0)
        for _ in range(times):
            mine.fail(WHO, RULES._replace(free=10_000))


def test_no_failure_is_lost_between_processes(tmp_path):
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as store:
        Ledger(store, Clock(), 1.0).waits(WHO)
    processes = [get_context("spawn").Process(target=guess, args=(url, 50)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with closing(Store(url)) as store:
        found = Ledger(store, Clock(), 1.0).fail(WHO, RULES)
    assert found.failures == 201
