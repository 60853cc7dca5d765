"""What is unsigned is signed in time, by one of all workers, and at the end of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plugins.audit_log.chain import Chain, Terms
from plugins.audit_log.notary import Notary
from plugins.audit_log.watch import Watch


@dataclass
class Clock:
    seconds: float = 1_767_225_600.0

    def __call__(self) -> float:
        return self.seconds


class Worker:
    """A chain, a signer and a watch, as one worker has them."""

    def __init__(self, place: Path, key: Ed25519PrivateKey, clock: Clock, pause: float) -> None:
        self.chain = Chain(place / "audit", b"k" * 32, clock, Terms(fsync="never"))
        self.notary = Notary(key, place / "points", 1000, clock, None, self.chain.force)
        self.watch = Watch(self.chain, self.notary, pause, clock)

    def lines(self) -> int:
        place = self.notary.place
        return len(place.read_bytes().splitlines()) if place.exists() else 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workers(tmp_path: Path, clock: Clock) -> list[Worker]:
    key = Ed25519PrivateKey.generate()
    return [Worker(tmp_path, key, clock, 30.0) for _ in range(4)]


def test_of_all_workers_the_first_to_look_signs(workers: list[Worker], clock: Clock) -> None:
    head = workers[0].chain.append({"event": "a_b"})
    for worker in workers:
        worker.watch.look(30.0)
    assert workers[0].lines() == 1
    assert workers[3].notary.covered() == head.seq
    clock.seconds += 3600
    for worker in workers:
        worker.watch.look(30.0)
    assert workers[0].lines() == 1, "where nothing was written there is nothing to sign"


def test_traffic_is_signed_once_in_its_time(workers: list[Worker], clock: Clock) -> None:
    for second in range(120):
        clock.seconds += 1
        workers[second % 4].chain.append({"event": "a_b"})
        workers[second % 4].watch.look(30.0)
    assert 4 <= workers[0].lines() <= 5


def test_a_clock_that_was_set_back_does_not_end_the_signing(
    workers: list[Worker], clock: Clock
) -> None:
    workers[0].chain.append({"event": "a_b"})
    workers[0].watch.look(30.0)
    clock.seconds -= 86400
    head = workers[0].chain.append({"event": "a_b"})
    workers[0].watch.look(30.0)
    assert workers[0].notary.covered() == head.seq


def test_a_worker_that_ends_signs_what_it_has_not(workers: list[Worker]) -> None:
    head = workers[0].chain.append({"event": "a_b"})
    workers[0].watch.end()
    assert workers[0].notary.covered() == head.seq


def test_the_thread_signs_without_any_traffic(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(tmp_path, Ed25519PrivateKey.generate(), clock, 0.01)
    head = worker.chain.append({"event": "a_b"})
    worker.watch.begin()
    deadline = os.times().elapsed + 20
    while worker.notary.covered() != head.seq and os.times().elapsed < deadline:
        os.sched_yield()
    worker.watch.end()
    assert worker.notary.covered() == head.seq


def test_a_chain_that_cannot_be_read_is_said_and_ends_nothing(
    workers: list[Worker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit").write_text("in the way")
    workers[0].watch.look(30.0)
    assert [record.message for record in caplog.records] == ["no checkpoint (FileExistsError)"]
