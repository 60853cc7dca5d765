"""The thread that fetches: lazy, one in each process, bounded in what it makes anyone wait."""

from __future__ import annotations

import os
import threading

import pytest

from secureml.kit import jwks_cache as module
from secureml.kit.fetch import FetchFailed
from secureml.kit.jwks import Keys
from secureml.kit.jwks_cache import JwksCache, JwksRefresher, Timing
from secureml.testing import Clock


@pytest.fixture
def made():
    """Refreshers to be closed at the end."""
    refreshers = []

    def make(load):
        source = JwksCache("idp", load, Clock(), Timing())
        refreshers.append(JwksRefresher(source))
        source.request_refresh = refreshers[-1].request_refresh
        return refreshers[-1]

    yield make
    for refresher in refreshers:
        worker = refresher._worker
        refresher.close()
        if worker is not None:
            worker.thread.join(10)
            assert not worker.thread.is_alive()


def test_nothing_runs_before_it_is_needed(made):
    before = threading.active_count()
    made(lambda: Keys(()))

    assert threading.active_count() == before


def test_the_first_need_fetches_and_one_thread_serves_all(made):
    asked = []
    refresher = made(lambda: asked.append(threading.current_thread()) or Keys(()))

    refresher.request_refresh()
    refresher.start()
    refresher.start()

    assert refresher.jwks.reached
    assert {thread.name for thread in asked} == {"keys-of-idp"}
    assert all(thread.daemon for thread in asked)


def test_those_who_wait_share_one_fetch(made):
    """A storm of callers at a cold start is one fetch."""
    gate, asked = threading.Event(), []

    def load():
        asked.append(1)
        assert gate.wait(10)
        return Keys(())

    refresher = made(load)
    refresher.start()
    callers = [threading.Thread(target=refresher.jwks.refreshed) for _ in range(4)]
    for caller in callers:
        caller.start()
    gate.set()
    for caller in callers:
        caller.join(10)

    assert len(asked) <= 2
    assert refresher.jwks.reached


def test_a_fetch_that_hangs_holds_nobody_longer_than_the_patience(made, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    gate = threading.Event()

    def load():
        assert gate.wait(10)
        raise FetchFailed("too_slow")

    refresher = made(load)
    refresher.request_refresh()

    assert not refresher.jwks.reached
    gate.set()


def test_a_fault_of_ours_does_not_end_the_thread(made, caplog):
    faults = [ZeroDivisionError()]

    def load():
        if faults:
            raise faults.pop()
        return Keys(())

    refresher = made(load)
    while faults:
        refresher.request_refresh()
    refresher.request_refresh()

    assert refresher.jwks.reached
    assert "refreshing the keys of idp failed" in caplog.text


def test_closing_wakes_whoever_waits_and_ends_the_thread(made):
    entered, gate = threading.Event(), threading.Event()

    def load():
        entered.set()
        assert gate.wait(10)
        return Keys(())

    refresher = made(load)
    refresher.start()
    assert entered.wait(10)
    caller = threading.Thread(target=refresher.request_refresh)
    caller.start()
    worker = refresher._worker
    refresher.close()
    caller.join(10)
    gate.set()
    worker.thread.join(10)

    assert not caller.is_alive()
    assert not worker.thread.is_alive()


def test_closing_what_never_ran_is_nothing(made):
    made(lambda: Keys(())).close()


def test_a_forked_worker_has_a_thread_of_its_own(made, monkeypatch):
    refresher = made(lambda: Keys(()))
    refresher.request_refresh()
    parent = refresher._worker
    monkeypatch.setattr(os, "getpid", lambda: parent.pid + 1)
    refresher.request_refresh()

    assert refresher._worker is not parent
    for worker in (parent, refresher._worker):
        worker.end()
        worker.thread.join(10)
