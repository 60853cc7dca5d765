"""The chain stays one: many writers, killed writers, full files, files taken away."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import threading
from pathlib import Path

import pytest

from plugins.audit_log import codec, segments
from plugins.audit_log.chain import Chain, ChainBusy, ChainOptions, WrongKey

KEY = b"k" * 32


def chain(tmp_path: Path, **terms: object) -> Chain:
    return Chain(tmp_path / "audit", KEY, lambda: 1_767_225_600.0, ChainOptions(**terms))  # type: ignore[arg-type]


def records(tmp_path: Path) -> list[dict[str, object]]:
    return [
        json.loads(text)
        for path in segments.files(tmp_path / "audit")
        for text in path.read_text("ascii").splitlines()
    ]


def assert_one_chain(tmp_path: Path) -> int:
    previous, count, key = codec.GENESIS, 0, KEY
    for path in segments.files(tmp_path / "audit"):
        for raw in path.read_bytes().splitlines():
            found = codec.read(raw)
            if found is None:
                continue
            count += 1
            if found.event == "audit_file_opened":
                key = codec.bind(KEY, found.fields["chain"])
            assert found.seq == count
            assert found.mac == codec.seal(key, previous, found.sealed)
            previous = found.mac
    return count


def test_records_are_numbered_and_sealed_with_the_one_before(tmp_path: Path) -> None:
    audit = chain(tmp_path)
    heads = [audit.append({"event": "a_b", "n": n}) for n in range(5)]

    assert [head.seq for head in heads] == [2, 3, 4, 5, 6]
    assert assert_one_chain(tmp_path) == 6
    assert records(tmp_path)[0]["event"] == "audit_file_opened"


def test_a_second_chain_object_goes_on_where_the_first_is(tmp_path: Path) -> None:
    one, two = chain(tmp_path), chain(tmp_path)
    for n in range(10):
        (one if n % 2 else two).append({"event": "a_b", "n": n})

    assert [r.get("n") for r in records(tmp_path)][1:] == list(range(10))
    assert assert_one_chain(tmp_path) == 11


def test_a_full_file_is_closed_and_the_next_carries_the_head(tmp_path: Path) -> None:
    one, two = chain(tmp_path, rotate=600), chain(tmp_path, rotate=600)
    for n in range(40):
        (one if n % 3 else two).append({"event": "a_b", "n": n})

    files = segments.files(tmp_path / "audit")
    assert len(files) > 5
    assert assert_one_chain(tmp_path) == 40 + 2 * len(files) - 1
    for path in files[1:]:
        assert json.loads(path.read_text().splitlines()[0])["seq"] == segments.first_of(path)


def test_a_writer_killed_between_closing_and_opening_is_made_good(tmp_path: Path) -> None:
    audit = chain(tmp_path, rotate=300)
    audit.append({"event": "a_b"})
    audit.append({"event": "a_b"})
    files = segments.files(tmp_path / "audit")
    assert len(files) == 2
    files[-1].unlink()

    chain(tmp_path, rotate=300).append({"event": "a_b", "after": True})
    assert assert_one_chain(tmp_path) == 5


def test_a_torn_line_is_closed_by_a_record_that_names_it(tmp_path: Path) -> None:
    chain(tmp_path).append({"event": "a_b"})
    path = segments.files(tmp_path / "audit")[0]
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"seq":3,"time":"20')

    chain(tmp_path).append({"event": "a_b", "after": True})
    torn = json.loads(path.read_text().splitlines()[-2])
    assert (torn["event"], torn["at"], torn["bytes"]) == ("audit_line_torn", whole, 19)
    assert assert_one_chain(tmp_path) == 4


def test_a_chain_that_was_cut_under_a_running_writer_says_so(tmp_path: Path) -> None:
    audit = chain(tmp_path)
    for _ in range(5):
        audit.append({"event": "a_b"})
    path = segments.files(tmp_path / "audit")[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))

    audit.append({"event": "a_b"})
    assert [r["event"] for r in records(tmp_path)][3:] == ["audit_chain_truncated", "a_b"]
    assert records(tmp_path)[3]["known_seq"] == 6


def test_a_file_taken_away_is_begun_anew_and_told(tmp_path: Path) -> None:
    audit = chain(tmp_path)
    audit.append({"event": "a_b"})
    segments.files(tmp_path / "audit")[0].unlink()

    audit.append({"event": "a_b"})
    assert [r["event"] for r in records(tmp_path)][1:] == ["audit_chain_truncated", "a_b"]


def test_another_key_does_not_go_on_with_the_chain(tmp_path: Path) -> None:
    chain(tmp_path).append({"event": "a_b"})
    before = segments.files(tmp_path / "audit")[0].read_bytes()

    with pytest.raises(WrongKey):
        Chain(tmp_path / "audit", b"x" * 32, lambda: 0.0).append({"event": "a_b"})
    assert segments.files(tmp_path / "audit")[0].read_bytes() == before


def test_a_chain_held_by_others_raises_at_the_deadline(tmp_path: Path) -> None:
    audit, other = chain(tmp_path, deadline=0.05), chain(tmp_path)
    audit.append({"event": "a_b"})
    with other._lock.acquire(), pytest.raises(ChainBusy):
        audit.append({"event": "a_b"})
    assert audit.append({"event": "a_b"}).seq == 3


def test_a_record_too_long_or_no_json_leaves_no_trace(tmp_path: Path) -> None:
    audit = chain(tmp_path)
    audit.append({"event": "a_b"})
    with pytest.raises(codec.LineTooLong):
        audit.append({"event": "a_b", "long": "x" * codec.LIMIT})
    with pytest.raises(ValueError, match="JSON"):
        audit.append({"event": "a_b", "n": float("nan")})
    assert assert_one_chain(tmp_path) == 2


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_threads_of_one_process_share_the_chain(tmp_path: Path, fsync: str) -> None:
    audit = chain(tmp_path, rotate=4000, fsync=fsync)
    workers = [
        threading.Thread(target=lambda: [audit.append({"event": "a_b"}) for _ in range(50)])
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    events = [r["event"] for r in records(tmp_path)]
    assert events.count("a_b") == 200
    assert assert_one_chain(tmp_path) == len(events)
    audit.close()


def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    audit = chain(tmp_path)
    audit.append({"event": "a_b"})
    child = os.fork()
    if child == 0:
        try:
            for _ in range(100):
                audit.append({"event": "a_b", "who": "child"})
        finally:
            os._exit(0)
    for _ in range(100):
        audit.append({"event": "a_b", "who": "parent"})
    os.waitpid(child, 0)
    assert assert_one_chain(tmp_path) == 202


def _until_full(place: Path, room: int) -> None:
    """Write in a child that may not let a file grow further; partial writes come with it."""
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        return
    code = 1
    try:
        audit = Chain(place, KEY, lambda: 1_767_225_600.0, ChainOptions(rotate=2000, fsync="never"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        failed = 0
        for _ in range(40):
            try:
                audit.append({"event": "a_b"})
            except OSError:
                failed += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        audit.append({"event": "a_b", "recovered": True})
        code = 0 if failed else 2
    finally:
        os._exit(code)


@pytest.mark.parametrize("room", range(300, 1900, 37))
def test_a_disk_that_fills_up_anywhere_breaks_no_record(tmp_path: Path, room: int) -> None:
    _until_full(tmp_path / "audit", room)
    assert records(tmp_path)[-1]["recovered"]
    assert assert_one_chain(tmp_path) == len(records(tmp_path))


def test_no_room_for_the_next_file_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = chain(tmp_path, rotate=500)
    audit.append({"event": "a_b"})
    audit.append({"event": "a_b"})

    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(segments, "create", full)
        for _ in range(3):
            with pytest.raises(OSError, match="space"):
                audit.append({"event": "a_b"})
    audit.append({"event": "a_b", "recovered": True})
    assert len(segments.files(tmp_path / "audit")) == 2
    assert [r["event"] for r in records(tmp_path)].count("audit_file_closed") == 1
    assert assert_one_chain(tmp_path) == len(records(tmp_path))


def _write_many(place: str, count: int, who: int) -> None:
    audit = Chain(Path(place), KEY, lambda: 1_767_225_600.0, ChainOptions(2_000_000, 60.0, "never"))
    for n in range(count):
        audit.append({"event": "a_b", "who": who, "n": n})


@pytest.mark.slow
def test_eight_processes_write_one_chain_of_100_000_records(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    jobs = [
        context.Process(target=_write_many, args=(str(tmp_path / "audit"), 12_500, who))
        for who in range(8)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(300)
        assert job.exitcode == 0
    files = len(segments.files(tmp_path / "audit"))
    assert assert_one_chain(tmp_path) == 100_000 + 2 * files - 1
    for who in range(8):
        assert [r["n"] for r in records(tmp_path) if r.get("who") == who] == list(range(12_500))
