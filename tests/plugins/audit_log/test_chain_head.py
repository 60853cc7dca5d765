"""A tail cut off the log is missed, without a checkpoint; an honest crash is not called a theft."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from plugins.audit_log import chain as chains
from plugins.audit_log import codec, head_file, segments, verify
from plugins.audit_log.chain import Chain, ChainOptions, WrongChain
from plugins.audit_log.head_file import HeadFile, boot_id
from plugins.audit_log.keyring import Keyring

KEY = b"k" * 32


class Log:
    """A chain with its second place; each `open` is another process."""

    def __init__(self, place: Path) -> None:
        self.audit, self.head_file = place / "logs" / "audit", place / "store" / "audit-head"

    def open(self, key: bytes = KEY, *former: bytes, **terms: Any) -> Chain:
        words = {"fsync": "never"} | terms
        return Chain(
            self.audit, key, lambda: 1_767_225_600.0, ChainOptions(**words), former, self.head_file
        )

    def write(self, count: int = 10, **terms: Any) -> None:
        audit = self.open(**terms)
        for n in range(count):
            audit.append({"event": "a_b", "n": n})
        audit.close()

    def cut(self, left: int) -> None:
        """Take all but so many lines off the last file."""
        path = segments.files(self.audit)[-1]
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))

    def verify(self, boot: str = "", key: bytes = KEY, *former: bytes) -> verify.Report:
        marks = HeadFile(self.head_file, Keyring(key, former), boot).read()
        return verify.verify(self.audit, key, None, former, (marks, boot or boot_id()))

    def kind(self, **words: Any) -> str:
        finding = self.verify(**words).finding
        return finding.kind if finding is not None else ""

    def events_whole(self) -> list[str]:
        found = []
        for path in segments.files(self.audit):
            lines = [codec.read(raw) for raw in path.read_bytes().splitlines()]
            found += [each.event for each in lines if each is not None]
        return found

    def events(self) -> list[str]:
        found = []
        for path in segments.files(self.audit):
            found += [json.loads(raw)["event"] for raw in path.read_bytes().splitlines()]
        return found


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.fixture
def rebooted(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(chains, "boot_id", lambda: "another-boot")
    return "another-boot"


def test_a_log_that_nobody_touched_is_whole(log: Log) -> None:
    assert log.verify().finding is None
    log.write(rotate=700)
    assert log.verify().finding is None
    assert log.open().head().seq == log.verify().last


@pytest.mark.parametrize("left", range(10))
def test_attack_a_tail_cut_off_is_found_without_a_checkpoint(log: Log, left: int) -> None:
    log.write()
    log.cut(left)
    report = log.verify()
    assert report.finding is not None
    assert report.finding.kind == "truncated"
    assert "record 11 was written and is missing" in report.finding.text


@pytest.mark.parametrize("left", range(10))
def test_attack_the_next_start_goes_on_and_the_cut_stays_told(log: Log, left: int) -> None:
    log.write()
    log.cut(left)
    log.write(3)
    assert "audit_chain_truncated" in log.events()
    assert log.kind() == "truncated"
    assert log.open().marks().broken is not None
    log.write(300)
    assert log.kind() == "truncated", "however long it goes on"


@pytest.mark.parametrize("taken", [1, 2, 40, 90])
def test_attack_the_last_record_cut_in_its_middle_is_no_writer_that_was_killed(
    log: Log, taken: int
) -> None:
    """The record that tells of an unfinished line has the number of the one that was there."""
    log.write()
    path = segments.files(log.audit)[0]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - taken)
    assert log.kind() == "truncated"
    log.write(3)
    assert log.events_whole()[-5:-3] == ["audit_line_torn", "audit_chain_truncated"]
    assert log.kind() == "truncated"


def test_attack_a_new_file_taken_away_is_not_begun_again_as_if_it_had_never_been(
    log: Log,
) -> None:
    audit = log.open(rotate=600)
    while len(segments.files(log.audit)) < 2:
        head = audit.append({"event": "a_b"})
    audit.close()
    last = segments.files(log.audit)[-1]
    last.write_bytes(last.read_bytes().splitlines(keepends=True)[0])  # as a crash leaves it
    first = codec.read(last.read_bytes()[:-1])
    assert first is not None
    HeadFile(log.head_file, Keyring(KEY), boot_id()).write(
        "head", KEY, first.seq, first.mac, head.chain, back=True
    )
    assert log.kind() == ""
    last.unlink()
    assert log.kind() == "truncated"
    log.write(1)
    assert log.kind() == "truncated"


def test_attack_a_log_of_one_record_taken_away_is_missed(log: Log) -> None:
    log.open().head()
    shutil.rmtree(log.audit)
    assert log.kind() == "truncated"
    log.write(1)
    assert log.kind() == "truncated"


def test_attack_an_emptied_log_is_a_broken_one(log: Log) -> None:
    log.write(rotate=700)
    for path in segments.files(log.audit):
        path.write_bytes(b"")
    assert log.kind() == "truncated" or log.kind() == "deleted"
    log.write(2)
    assert log.kind() == "truncated"


def test_attack_an_emptied_last_file_goes_on_behind_the_one_before_it(log: Log) -> None:
    log.write(rotate=700)
    files = segments.files(log.audit)
    files[-1].write_bytes(b"")
    assert log.kind() == "truncated"
    log.write(2)
    assert segments.files(log.audit)[: len(files) - 1] == files[:-1]
    report = log.verify()
    assert report.finding is not None
    assert (report.finding.kind, report.finding.seq) == (
        "truncated",
        segments.first_of(files[-1]) + 1,
    )


def test_attack_a_missing_log_is_a_broken_one(log: Log) -> None:
    log.write()
    shutil.rmtree(log.audit)
    assert log.kind() == "truncated"
    log.write(2)
    assert log.events()[:2] == ["audit_file_opened", "audit_chain_truncated"]
    assert log.kind() == "truncated"


def test_attack_an_older_copy_put_back_is_found(log: Log, tmp_path: Path) -> None:
    log.write()
    shutil.copytree(log.audit, tmp_path / "copy")
    log.write()
    shutil.rmtree(log.audit)
    shutil.copytree(tmp_path / "copy", log.audit)
    assert log.kind() == "truncated"


def test_attack_the_head_taken_away_with_the_tail_is_told(log: Log) -> None:
    log.write()
    log.cut(5)
    log.head_file.unlink()
    assert log.kind() == "unproven"
    log.write(3)
    assert "audit_head_lost" in log.events()
    assert log.kind() == "unproven"


def test_attack_a_head_of_ones_own_making_is_none(log: Log) -> None:
    log.write()
    log.cut(5)
    log.head_file.unlink()
    HeadFile(log.head_file, Keyring(b"x" * 32), "").write("head", b"x" * 32, 5, "a" * 64, "c")
    assert log.kind() == "unproven"
    log.write(1)
    assert log.kind() == "unproven"


def test_attack_a_former_key_names_no_head_of_its_successor(log: Log) -> None:
    new = b"n" * 32
    log.write()
    audit = log.open(new, KEY)
    audit.renew()
    heads = [audit.append({"event": "a_b"}) for _ in range(9)]
    audit.close()
    assert log.verify("", new, KEY).finding is None
    log.cut(4)
    keys = Keyring(new, [KEY])
    HeadFile(log.head_file, keys, boot_id()).write(
        "head", KEY, heads[2].seq, heads[2].mac, heads[2].chain, back=True
    )
    marks = HeadFile(log.head_file, keys, boot_id()).read()
    finding = verify.verify(log.audit, new, None, [KEY], (marks, boot_id())).finding
    assert finding is not None
    assert finding.kind == "unproven"


def test_a_running_writer_makes_the_head_again_from_what_it_knows(log: Log) -> None:
    audit = log.open()
    audit.append({"event": "a_b"})
    log.head_file.unlink()
    audit.append({"event": "a_b"})
    assert log.kind() == ""


# -- honest crashes ---------------------------------------------------------------------------


def killed(log: Log, where: str) -> None:
    """Write a few records in a process that is killed at one step of the last."""
    child = os.fork()
    if child:
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        return
    audit = log.open(rotate=1200)
    for n in range(5):
        audit.append({"event": "a_b", "n": n})

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if where == "between record and head":
        audit._marks.write = die  # type: ignore[union-attr,method-assign]
    elif where == "between files":
        audit._start = die  # type: ignore[method-assign]
    else:
        real = os.pwrite

        def half(handle: int, content: bytes, at: int) -> int:
            real(handle, content[:200], at)
            os.kill(os.getpid(), signal.SIGKILL)
            return 0

        head_file.os.pwrite = half  # type: ignore[assignment]
    while True:
        audit.append({"event": "a_b"})


@pytest.mark.parametrize(
    "where", ["between record and head", "between files", "in the middle of the head"]
)
def test_a_killed_writer_is_no_thief(log: Log, where: str) -> None:
    killed(log, where)
    assert log.kind() == ""
    log.write(5, rotate=1200)
    assert log.kind() == ""
    assert not {"audit_chain_truncated", "audit_head_lost", "audit_tail_lost"} & set(log.events())


def test_a_head_that_cannot_be_written_lets_no_record_through(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = log.open()
    audit.append({"event": "a_b"})
    before = segments.files(log.audit)[0].read_bytes()

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(head_file.os, "pwrite", full)
        for _ in range(3):
            with pytest.raises(OSError, match="space"):
                audit.append({"event": "a_b"})
    assert segments.files(log.audit)[0].read_bytes() == before
    audit.append({"event": "a_b", "recovered": True})
    assert log.kind() == ""


def test_what_a_power_cut_took_before_it_was_on_the_disk_is_told_and_no_theft(
    log: Log, rebooted: str
) -> None:
    log.write()  # with `never` nothing is known to be on the disk
    marks = HeadFile(log.head_file, Keyring(KEY), "").read()
    assert marks.head is not None
    head = marks.head
    HeadFile(log.head_file, Keyring(KEY), "the-boot-before").write(
        "head", KEY, head.seq, head.mac, head.chain, back=True
    )
    log.cut(8)
    report = log.verify(boot=rebooted)
    assert report.finding is None
    assert "records 9 to 11 are missing: the machine stopped" in report.notes[-1]
    log.write(2)
    assert "audit_tail_lost" in log.events()
    report = log.verify(boot=rebooted)
    assert (report.finding, report.last) == (None, 11)
    assert "records 9 to 11 were lost" in report.notes[-1]
    assert log.open().marks().broken is None


def test_attack_a_reboot_excuses_nothing_that_was_on_the_disk(log: Log, rebooted: str) -> None:
    log.write()
    marks = HeadFile(log.head_file, Keyring(KEY), "").read()
    assert marks.head is not None
    head, before = marks.head, HeadFile(log.head_file, Keyring(KEY), "the-boot-before")
    before.write("head", KEY, head.seq, head.mac, head.chain, back=True)
    before.write("disk", KEY, 9, "9" * 64, head.chain)
    log.cut(8)
    assert log.kind(boot=rebooted) == "truncated"
    log.write(1)
    assert log.kind(boot=rebooted) == "truncated"


def test_what_is_forced_to_the_disk_is_marked_so_within_its_interval(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.audit_log.durability.EVERY", 0.01)
    for policy in ("interval", "always"):
        audit = log.open(fsync=policy)
        head = audit.append({"event": "a_b"})
        deadline = os.times().elapsed + 20
        while os.times().elapsed < deadline:
            marked = audit.marks().on_disk
            if marked is not None and marked.seq >= head.seq:
                break
            os.sched_yield()
        assert marked is not None
        assert marked.seq == head.seq
        audit.close()


# -- whose chain it is ------------------------------------------------------------------------


def test_attack_another_instances_chain_under_the_same_key_is_not_ours(
    log: Log, tmp_path: Path
) -> None:
    log.write()
    other = Log(tmp_path / "other")
    other.write(50)
    assert other.kind() == ""
    shutil.rmtree(log.audit)
    shutil.copytree(other.audit, log.audit)
    report = log.verify()
    assert report.finding is not None
    assert report.finding.kind == "replaced"
    with pytest.raises(WrongChain):
        log.open().append({"event": "a_b"})
    assert log.kind() == "replaced", "and nothing is written into it"


def test_attack_the_name_of_a_chain_cannot_be_changed(log: Log, tmp_path: Path) -> None:
    log.write()
    other = Log(tmp_path / "other")
    other.write()
    names = [log.verify().chain, other.verify().chain]
    path = segments.files(other.audit)[0]
    path.write_bytes(path.read_bytes().replace(names[1].encode(), names[0].encode()))
    shutil.copy(path, segments.files(log.audit)[0])
    assert log.kind() in ("changed", "forged")


def test_attack_a_file_of_another_chain_at_the_end_is_not_gone_on_with(
    log: Log, tmp_path: Path
) -> None:
    log.write(rotate=700)
    other = Log(tmp_path / "other")
    other.write(40, rotate=700)
    last = segments.files(log.audit)[-1]
    unsigned = next(p for p in segments.files(other.audit) if segments.first_of(p) > 11)
    shutil.copy(unsigned, last.with_name(unsigned.name))
    assert log.kind() != ""
    with pytest.raises(WrongChain):
        log.open(rotate=700).append({"event": "a_b"})


def test_a_chain_from_before_chains_had_names_gets_one_and_stays_provable(log: Log) -> None:
    emitted = {"event": "audit_file_opened", "key": codec.key_id(KEY), "previous": codec.GENESIS}
    log.audit.mkdir(parents=True)
    content, mac = codec.write(
        KEY, codec.GENESIS, 1, "2026-01-01T00:00:00.000Z", codec.encode(emitted)
    )
    more, _ = codec.write(KEY, mac, 2, "2026-01-01T00:00:00.000Z", '"event":"a_b"')
    segments.create(log.audit, 1, content + more)
    assert log.kind() == ""
    log.write(3)
    assert log.events()[:4] == [
        "audit_file_opened",
        "a_b",
        "audit_file_closed",
        "audit_file_opened",
    ]
    assert (log.kind(), log.verify().records) == ("", 7)
    segments.files(log.audit)[-1].unlink()
    assert log.kind() == "replaced" or log.kind() == "truncated"


def test_a_new_chain_names_the_one_before_it_and_sets_its_files_aside(log: Log) -> None:
    log.write(rotate=700)
    running = log.open()
    running.append({"event": "a_b"})
    log.cut(1)
    running.append({"event": "a_b"})
    assert log.kind() == "truncated"
    was = log.verify().chain
    head = log.open().start_new("cleaned up by mistake")
    running.append({"event": "a_b", "after": True})

    report = log.verify()
    assert (report.finding, report.records) == (None, 3)
    assert report.chain not in ("", was)
    begun = list(segments.files(log.audit)[0].read_bytes().splitlines())[1]
    facts = json.loads(begun)["facts"]
    assert (facts["chain"], facts["reason"]) == (was, "cleaned up by mistake")
    assert head.event == "audit_chain_started"
    aside = log.audit / facts["set_aside"]
    assert segments.files(aside)
    assert verify.verify(aside, KEY).finding is not None
