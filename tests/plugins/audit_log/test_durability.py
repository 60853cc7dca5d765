"""What each policy forces to the disk, and when."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from plugins.audit_log import durability
from plugins.audit_log.durability import FsyncPolicy


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    monkeypatch.setattr(durability.os, "fdatasync", calls.append)
    return calls


def test_always_forces_each_record_and_never_none(forced: list[int]) -> None:
    for policy in ("always", "never"):
        for _ in range(3):
            FsyncPolicy(policy).apply(7)
    assert forced == [7, 7, 7]


def test_interval_forces_within_its_time_and_at_the_end(
    forced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "EVERY", 0.01)
    policy = FsyncPolicy("interval")
    policy.apply(7)
    deadline = os.times().elapsed + 5
    while not forced and os.times().elapsed < deadline:
        os.sched_yield()
    assert forced[0] == 7
    before = len(forced)
    policy.close()
    assert len(forced) >= before + 1


def test_a_file_let_go_is_forced_first_and_not_touched_after(
    forced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "EVERY", 3600.0)
    policy = FsyncPolicy("interval")
    policy.apply(7)
    policy.apply(7, last=True)
    policy.close()
    assert forced == [7]


def test_a_disk_that_fails_is_told_where_the_promise_is_always(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    os.close(handle)
    with pytest.raises(OSError):
        FsyncPolicy("always").apply(handle)


def syncing() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "audit-sync"}


def test_a_policy_that_is_closed_ends_its_thread_at_once_and_begins_another_when_it_is_used(
    forced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "EVERY", 3600.0)
    policy = FsyncPolicy("interval")
    for handle in (7, 8):
        before = syncing()
        policy.apply(handle)
        (thread,) = syncing() - before
        policy.close()
        thread.join(10)
        assert not thread.is_alive()
    assert forced == [7, 8]


def test_a_policy_that_was_never_used_is_closed_without_a_word(forced: list[int]) -> None:
    FsyncPolicy("interval").close()
    assert forced == []
