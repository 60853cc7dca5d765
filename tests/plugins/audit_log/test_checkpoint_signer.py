"""When a checkpoint is signed, and what happens when it cannot be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plugins.audit_log.chain import Chain, ChainOptions, Head
from plugins.audit_log.checkpoint_signer import CheckpointSigner, CheckpointTimer


def signer(place: Path, every: int = 5) -> CheckpointSigner:
    return CheckpointSigner(Ed25519PrivateKey.generate(), place, every, lambda: 0.0)


def test_it_signs_every_so_many_records(tmp_path: Path) -> None:
    signing = signer(tmp_path / "points")
    for seq in range(1, 13):
        signing.maybe_sign(Head(seq, "a" * 64))
    assert len((tmp_path / "points").read_bytes().splitlines()) == 2
    assert signing.signed_up_to() == 10


def test_a_failed_checkpoint_is_logged_once_and_made_up_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signing = signer(tmp_path / "away" / "points")
    for seq in range(5, 9):
        signing.maybe_sign(Head(seq, "a" * 64))
    assert [r.getMessage().split(" could")[0] for r in caplog.records] == [
        "no checkpoint of record 5"
    ]
    assert signing.signed_up_to() == 0
    (tmp_path / "away").mkdir()
    signing.maybe_sign(Head(9, "a" * 64))
    assert signing.signed_up_to() == 9


def test_lines_of_another_signer_cover_nothing(tmp_path: Path) -> None:
    signer(tmp_path / "points").sign(Head(99, "a" * 64))
    assert signer(tmp_path / "points").signed_up_to() == 0


@dataclass
class Clock:
    seconds: float = 1_767_225_600.0

    def __call__(self) -> float:
        return self.seconds


class Worker:
    """The chain, signer and timer of one worker."""

    def __init__(self, place: Path, key: Ed25519PrivateKey, clock: Clock, pause: float) -> None:
        self.chain = Chain(place / "audit", b"k" * 32, clock, ChainOptions(fsync="never"))
        self.signer = CheckpointSigner(key, place / "points", 1000, clock, None, self.chain.force)
        self.timer = CheckpointTimer(self.chain, self.signer, pause, clock)

    def lines(self) -> int:
        place = self.signer.place
        return len(place.read_bytes().splitlines()) if place.exists() else 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workers(tmp_path: Path, clock: Clock) -> list[Worker]:
    key = Ed25519PrivateKey.generate()
    return [Worker(tmp_path, key, clock, 30.0) for _ in range(4)]


def test_of_all_workers_only_the_first_signs(workers: list[Worker], clock: Clock) -> None:
    head = workers[0].chain.append({"event": "a_b"})
    for worker in workers:
        worker.timer.sign_if_due(30.0)
    assert workers[0].lines() == 1
    assert workers[3].signer.signed_up_to() == head.seq
    clock.seconds += 3600
    for worker in workers:
        worker.timer.sign_if_due(30.0)
    assert workers[0].lines() == 1, "where nothing was written there is nothing to sign"


def test_traffic_is_signed_once_in_its_time(workers: list[Worker], clock: Clock) -> None:
    for second in range(120):
        clock.seconds += 1
        workers[second % 4].chain.append({"event": "a_b"})
        workers[second % 4].timer.sign_if_due(30.0)
    assert 4 <= workers[0].lines() <= 5


def test_a_clock_that_was_set_back_does_not_end_the_signing(
    workers: list[Worker], clock: Clock
) -> None:
    workers[0].chain.append({"event": "a_b"})
    workers[0].timer.sign_if_due(30.0)
    clock.seconds -= 86400
    head = workers[0].chain.append({"event": "a_b"})
    workers[0].timer.sign_if_due(30.0)
    assert workers[0].signer.signed_up_to() == head.seq


def test_a_worker_that_ends_signs_what_it_has_not(workers: list[Worker]) -> None:
    head = workers[0].chain.append({"event": "a_b"})
    workers[0].timer.stop()
    assert workers[0].signer.signed_up_to() == head.seq


def test_the_thread_signs_without_any_traffic(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(tmp_path, Ed25519PrivateKey.generate(), clock, 0.01)
    head = worker.chain.append({"event": "a_b"})
    worker.timer.start()
    deadline = os.times().elapsed + 20
    while worker.signer.signed_up_to() != head.seq and os.times().elapsed < deadline:
        os.sched_yield()
    worker.timer.stop()
    assert worker.signer.signed_up_to() == head.seq


def test_a_chain_that_cannot_be_read_is_logged_and_the_timer_goes_on(
    workers: list[Worker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit").write_text("in the way")
    workers[0].timer.sign_if_due(30.0)
    assert [record.message for record in caplog.records] == ["no checkpoint (FileExistsError)"]
