"""Failures in all workers are one count; only a wait makes the others look again."""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from multiprocessing import get_context

import pytest

from plugins.brute_force import failure_store as module
from plugins.brute_force.backoff import BackoffPolicy
from plugins.brute_force.failure_store import FailureStore, Wait
from secureml import Store
from secureml.testing import Clock

POLICY = BackoffPolicy(free=3, first=10.0, longest=600.0, forget=3600.0)
WHO = "address:192.0.2.1"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workers(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield [FailureStore(store, clock, 86400.0) for store in (one, other)]


def rows(worker, table):
    with worker._store.read() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()


def test_failures_in_two_workers_are_one_count_and_both_make_wait(workers, clock):
    one, other = workers
    found = [worker.add_failure(WHO, POLICY) for worker in (one, other, one, other)]
    assert found == [None, None, None, Wait(WHO, 4, clock() + 10)]
    assert one.wait_of(WHO) == other.wait_of(WHO) == 10.0
    clock.advance(10)
    assert one.wait_of(WHO) == other.wait_of(WHO) == 0.0


def test_a_failure_that_costs_nothing_makes_nobody_forget_their_caches(workers):
    one, other = workers
    other.wait_of(WHO)
    before = other._store.versions()
    one.add_failure(WHO, POLICY)
    assert other._store.versions() is before


def test_what_is_lifted_is_forgotten_everywhere(workers):
    one, other = workers
    for _ in range(5):
        one.add_failure(WHO, POLICY)
    assert [wait.subject for wait in other.list()] == [WHO]
    assert other.lift(WHO)
    assert one.wait_of(WHO) == 0.0
    assert one.add_failure(WHO, POLICY) is None
    assert other.lift(WHO)
    assert not other.lift(WHO)


def test_who_has_proven_itself_is_known_to_all_for_a_while(workers, clock):
    one, other = workers
    assert not other.is_trusted("pair:a@b")
    one.trust("a", "pair:a@b")
    one.trust("a", "pair:a@b")
    assert other.is_trusted("pair:a@b")
    assert not other.is_trusted("pair:a@c")
    clock.advance(86401)
    one.trust("x", "pair:x@y")
    assert not other.is_trusted("pair:a@b")


def test_what_is_long_past_is_swept_and_too_many_too_but_nobody_who_waits(
    workers, clock, monkeypatch
):
    monkeypatch.setattr(module, "_SWEEP", 1)
    monkeypatch.setattr(module, "MAX_SUBJECTS", 5)
    one, _ = workers
    one.add_failure("old", POLICY)
    clock.advance(10_000)
    for _ in range(5):
        one.add_failure(WHO, POLICY)
    for number in range(20):
        one.add_failure(f"other:{number}", POLICY)
    assert one.wait_of(WHO) > 0
    assert not one.lift("old")
    assert not one.lift("other:0")
    assert one.lift("other:19")


def test_attack_even_those_who_wait_are_so_many_and_no_more(workers, clock, monkeypatch):
    """Very many addresses that all wait: the table has a bound, and the longest waits stay."""
    monkeypatch.setattr(module, "_SWEEP", 1)
    monkeypatch.setattr(module, "MAX_SUBJECTS", 5)
    one, other = workers
    for number in range(20):
        clock.advance(0.01)
        for _ in range(4):
            one.add_failure(f"address:{number}", POLICY)
    assert other.waiting() == 5
    assert other.wait_of("address:19") == 10.0  # a full table still counts who comes new
    assert other.wait_of("address:0") == 0.0
    assert rows(one, "brute_force_counts") <= 10


def test_attack_one_credential_from_very_many_addresses_fills_no_table(workers, clock):
    """The newest places are known; those of somebody else stay."""
    one, other = workers
    one.trust("b", "pair:b@home")
    for number in range(3 * module.MAX_ADDRESSES):
        clock.advance(1)
        one.trust("a", f"pair:a@{number}")
    assert rows(one, "brute_force_trusted") == module.MAX_ADDRESSES + 1
    assert other.is_trusted(f"pair:a@{3 * module.MAX_ADDRESSES - 1}")
    assert not other.is_trusted("pair:a@0")
    assert other.is_trusted("pair:b@home")


def test_who_proves_itself_makes_no_worker_look_again(workers):
    """Else whoever has a credential could have every worker forget what it knows."""
    one, other = workers
    other.wait_of(WHO)
    before = other._store.versions()
    one.trust("a", "pair:a@b")
    assert other._store.versions() is before


def statements_of(worker, monkeypatch):
    """Count the statements of a worker, and how many rows they brought."""
    found = []
    read = worker._store.read

    @contextmanager
    def counted():
        with read() as connection:
            execute = connection.execute

            def counting(statement):
                found.append(str(statement))
                return execute(statement)

            monkeypatch.setattr(connection, "execute", counting)
            yield connection

    monkeypatch.setattr(worker._store, "read", counted)
    return found


def test_attack_a_request_costs_the_same_however_many_rows_there_are(workers, clock, monkeypatch):
    """Nothing is read as a whole: each look is by name, in an index, and is remembered."""
    one, other = workers
    many = [
        {"subject": f"address:{n}", "failures": 9, "last": clock(), "until": clock() + 60}
        for n in range(5000)
    ]
    good = [{"pair": f"pair:{n}@x", "seen": clock(), "identity": str(n)} for n in range(5000)]
    for _ in range(4):
        one.add_failure(WHO, POLICY)
    with one._store.begin() as connection:
        connection.execute(module._counts.insert(), many)
        connection.execute(module._trusted.insert(), good)
        one._store.touch(connection, module.TOPIC)
    statements = statements_of(other, monkeypatch)

    assert other.wait_of("address:7") == 60.0
    assert other.wait_of("address:nobody") == 0.0
    assert other.is_trusted("pair:7@x")
    assert len(statements) == 4  # the last end of all, two subjects, one pair
    assert [other.wait_of(subject) for subject in ("address:7", "address:nobody")] == [60.0, 0.0]
    assert len(statements) == 4
    with one._store.read() as connection:
        for statement in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {bound(statement)}").all()
            assert "SEARCH" in str(plan), statement
            assert "SCAN" not in str(plan), statement


def bound(statement):
    """Put something in the place of each parameter."""
    return re.sub(r":\w+", "'x'", statement)


def test_while_nobody_waits_nobody_is_looked_up(workers, monkeypatch):
    """The path of every honest request."""
    one, _ = workers
    statements = statements_of(one, monkeypatch)
    for number in range(100):
        assert one.wait_of(f"address:{number}") == 0.0
    assert len(statements) == 1


def test_what_a_worker_remembers_has_a_bound(workers, monkeypatch):
    monkeypatch.setattr(module, "CACHE_SIZE", 10)
    one, _ = workers
    for _ in range(4):
        one.add_failure(WHO, POLICY)
    for number in range(100):
        one.wait_of(f"address:{number}")
        assert len(one._cached.until) <= 10
    assert one.wait_of(WHO) > 0


def guess(url, times):
    with closing(Store(url)) as store:
        mine = FailureStore(store, Clock(), 86400.0)
        for _ in range(times):
            mine.add_failure(WHO, POLICY._replace(free=10_000))


def test_no_failure_is_lost_between_processes(tmp_path):
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as store:
        FailureStore(store, Clock(), 1.0).wait_of(WHO)
    processes = [get_context("spawn").Process(target=guess, args=(url, 50)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with closing(Store(url)) as store:
        found = FailureStore(store, Clock(), 1.0).add_failure(WHO, POLICY)
    assert found.failures == 201
