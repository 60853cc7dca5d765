"""A secret at a manager: followed from a thread, through outages and forks."""

from __future__ import annotations

import os
import threading

import pytest

from secureml import ConfigError
from secureml.kit.secrets import SecretUnavailable
from secureml.state.secrets.live import RefreshPolicy
from secureml.state.secrets.polled import WAKE, PolledSecret
from secureml.state.secrets.value import Reading, Secret
from secureml.testing import Clock

FOREVER = RefreshPolicy(refresh=10**6, max_age=3 * 10**6)


class Manager:
    """Holds one value, may be away, and says when it was asked."""

    def __init__(self):
        self.value, self.fault, self.asked = b"one", None, threading.Semaphore(0)

    def __call__(self):
        self.asked.release()
        if self.fault is not None:
            raise self.fault
        return Reading(Secret(self.value), None)

    def was_asked(self):
        return self.asked.acquire(timeout=5)


@pytest.fixture
def manager():
    return Manager()


@pytest.fixture
def follow(manager):
    """Make secrets that are closed in the end."""
    made = []

    def make(options=FOREVER, clock=None, chance=lambda: 0.5):
        live = PolledSecret("vault:kv/x#y", manager, options, clock or Clock(0.0), chance)
        assert manager.was_asked()
        made.append(live)
        return live

    yield make
    for live in made:
        live.close()
        assert live._thread is None or not live._thread.is_alive()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "vault:kv/x#y"]


def test_no_thread_runs_before_the_first_use(follow):
    """Gunicorn loads the app and forks; a thread would stay behind."""
    live = follow()
    assert threads() == []

    assert live.current() == Secret(b"one")
    assert live.current() == Secret(b"one")
    assert [thread.daemon for thread in threads()] == [True]


def test_a_rotation_is_found_by_the_thread_alone(follow, manager):
    """No request waits for the manager."""
    live = follow(RefreshPolicy(refresh=0.01, max_age=3600))
    live.current()
    manager.value = b"two"
    assert manager.was_asked()
    assert manager.was_asked()  # the value of the first of the two is in place by now

    assert live.current() == Secret(b"two")
    assert live.matches_any(b"one")


def test_a_manager_that_is_away_leaves_the_last_value_until_it_is_too_old(follow, manager, caplog):
    """Then everybody is refused, and healed by its return."""
    clock = Clock(0.0)
    live = follow(RefreshPolicy(max_age=3600), clock)
    manager.fault = ConfigError("Vault cannot be read (ConnectTimeout)")
    clock.advance(3600)
    live._turn()
    assert live.current() == Secret(b"one")
    clock.advance(1)
    with pytest.raises(SecretUnavailable):
        live.current()
    assert caplog.text.count("ConnectTimeout") == 1

    manager.fault = None
    live._turn()
    assert live.current() == Secret(b"one")


def test_a_fault_nobody_foresaw_does_not_end_the_following(follow, manager, caplog):
    """Its own words may quote what was sent, so only its kind is logged."""
    live = follow()
    manager.fault = ZeroDivisionError("token s.hunter2")
    live._turn()

    assert live.current() == Secret(b"one")
    assert "ZeroDivisionError" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("slept", [61, 7200])
def test_a_worker_without_work_since_the_start_asks_before_it_believes(follow, manager, slept):
    """Its value is old only because nobody came; a rotation since then is a fact for it too."""
    clock = Clock(0.0)
    live = follow(RefreshPolicy(refresh=60, overlap=0, max_age=3600), clock)
    manager.value = b"two"
    clock.advance(slept)

    assert not live.matches_any(b"one")
    assert live.current() == Secret(b"two")


def test_while_the_manager_is_away_such_a_worker_goes_on_with_what_it_has(follow, manager):
    """Until that is too old."""
    clock = Clock(0.0)
    live = follow(RefreshPolicy(refresh=60, max_age=3600), clock)
    manager.fault = ConfigError("Vault cannot be read (ConnectTimeout)")
    clock.advance(3600)
    assert live.current() == Secret(b"one")

    clock.advance(1)
    with pytest.raises(SecretUnavailable):
        live.current()


def test_a_wrong_offer_brings_the_next_question_forward_but_not_at_any_rate(follow, manager):
    """Whoever floods us with guesses does not flood the manager."""
    clock = Clock(0.0)
    live = follow(clock=clock)
    live.current()
    manager.value = b"two"
    assert not live.matches_any(b"two")
    assert not live._wake.is_set()

    clock.advance(WAKE)
    live.matches_any(b"two")
    assert manager.was_asked()


def test_workers_do_not_ask_together(follow):
    """A fifth earlier, a fifth later."""
    assert follow(RefreshPolicy(refresh=60), chance=lambda: 0.0)._pause() == pytest.approx(48)
    assert follow(RefreshPolicy(refresh=60), chance=lambda: 1.0)._pause() == pytest.approx(72)


def test_a_fork_starts_a_thread_of_its_own(follow, manager):
    """Even where a thread of the parent held the lock in the moment of the fork."""
    live = follow(RefreshPolicy(refresh=0.01, max_age=3600))
    live.current()
    read_end, write_end = os.pipe()
    with live._lock:
        pid = os.fork()
        if pid == 0:
            manager.asked = threading.Semaphore(0)
            manager.value = b"two"
            alone = len(threads()) == 0
            live.current()
            seen = manager.was_asked() and manager.was_asked()
            os.write(write_end, b"ok" if alone and seen and live.matches_any(b"two") else b"no")
            os._exit(0)
    os.waitpid(pid, 0)

    assert os.read(read_end, 2) == b"ok"
    os.close(read_end)
    os.close(write_end)
    assert live.current() == Secret(b"one")


def test_closed_it_asks_no_more(follow, manager):
    """Neither its thread nor a later use."""
    live = follow()
    live.current()
    live.close()
    live.current()

    assert threads() == []


def test_a_secret_that_cannot_be_read_at_the_start_stops_it(manager):
    """There is no last value to go on with."""
    manager.fault = ConfigError("Vault denies reading kv/x")
    with pytest.raises(ConfigError, match="denies"):
        PolledSecret("vault:kv/x#y", manager, RefreshPolicy(), Clock())
