"""One writer at a time, and a wait ends at the deadline."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from plugins.audit_log.lock import ChainBusy, ChainLock
from plugins.audit_log.segments import LOCK


def chain_lock(place: Path, deadline: float = 5.0) -> ChainLock:
    return ChainLock(place, deadline, lambda: None)


def test_who_holds_the_folder_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    mine, other = chain_lock(tmp_path / "a", 0.05), chain_lock(tmp_path / "a")
    with other.acquire(), pytest.raises(ChainBusy), mine.acquire():
        pass
    with mine.acquire():
        pass


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    mine, inside, seen = chain_lock(tmp_path), [0], []

    def work() -> None:
        for _ in range(200):
            with mine.acquire():
                inside[0] += 1
                seen.append(inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == [1] * 800


def test_a_forked_process_lets_go_of_what_it_shares_and_waits_for_its_own_turn(
    tmp_path: Path,
) -> None:
    released: list[int] = []
    mine = ChainLock(tmp_path, 0.05, lambda: released.append(os.getpid()))
    with mine.acquire():
        child = os.fork()
        if child == 0:
            fresh = ChainLock(tmp_path, 0.05, lambda: None)
            try:
                with fresh.acquire():
                    os._exit(1)
            except ChainBusy:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    child = os.fork()
    if child == 0:
        with mine.acquire():
            os._exit(0 if os.getpid() in released else 1)
    assert os.waitpid(child, 0)[1] == 0
    mine.close(lambda: None)


def test_attack_who_may_read_the_folder_cannot_hold_the_lock(tmp_path: Path) -> None:
    """A lock can be taken on whatever can be opened, for reading too."""
    place, mine = tmp_path / "audit", chain_lock(tmp_path / "audit", 0.5)
    with mine.acquire():
        pass
    held = [os.open(place, os.O_RDONLY | os.O_DIRECTORY)]
    readable = [path for path in place.iterdir() if path.stat().st_mode & 0o077]
    held += [os.open(path, os.O_RDONLY) for path in readable]
    for handle in held:
        fcntl.flock(handle, fcntl.LOCK_EX)
    with mine.acquire():
        pass
    assert (place / LOCK).stat().st_mode & 0o777 == 0o600
    for handle in held:
        os.close(handle)


def test_attack_a_lock_that_others_may_open_is_refused_with_the_fix(tmp_path: Path) -> None:
    mine = chain_lock(tmp_path)
    (tmp_path / LOCK).touch()
    (tmp_path / LOCK).chmod(0o640)
    with pytest.raises(PermissionError, match=f"fix: chmod 600 {tmp_path / LOCK}"), mine.acquire():
        pass
    (tmp_path / LOCK).chmod(0o600)
    with mine.acquire():
        pass


def test_a_lock_that_was_swept_away_is_not_held_by_two(tmp_path: Path) -> None:
    mine, other = chain_lock(tmp_path), chain_lock(tmp_path, 0.05)
    with mine.acquire():
        pass
    (tmp_path / LOCK).unlink()
    with mine.acquire(), pytest.raises(ChainBusy), other.acquire():
        pass


def test_the_message_says_how_to_find_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    mine, other = chain_lock(tmp_path, 0.05), chain_lock(tmp_path)
    with (
        other.acquire(),
        pytest.raises(ChainBusy, match=f"fix: fuser {tmp_path / LOCK}"),
        mine.acquire(),
    ):
        pass
