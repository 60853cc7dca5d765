"""One chain under several keys: each proves its part, and none reaches behind its successor."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.audit_log import codec, segments, verify
from plugins.audit_log.chain import CLOSED, OPENED, Chain, ChainOptions, WrongKey
from plugins.audit_log.checkpoint import Checkpoint
from plugins.audit_log.keyring import Keyring

FIRST, SECOND, THIRD = (letter * 32 for letter in (b"a", b"b", b"c"))


def chain(place: Path, key: bytes, *former: bytes, **terms: int) -> Chain:
    return Chain(place, key, lambda: 1_767_225_600.0, ChainOptions(fsync="never", **terms), former)  # type: ignore[arg-type]


def write(place: Path, key: bytes, *former: bytes, count: int = 3) -> None:
    """Write as a server does that was started with these keys."""
    audit = chain(place, key, *former)
    audit.renew()
    for n in range(count):
        audit.append({"event": "a_b", "n": n})
    audit.close()


def events(place: Path) -> list[dict[str, object]]:
    found = [codec.read(raw) for path in segments.files(place) for raw in path.read_bytes().split()]
    return [each.fields for each in found if each is not None]


def test_a_change_of_key_ends_a_file_and_names_what_follows(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    write(tmp_path, SECOND, FIRST)
    names = [(each["event"], each.get("next_key"), each.get("key")) for each in events(tmp_path)]
    emitted = [each for each in names if each[0] in (OPENED, CLOSED)]
    assert emitted == [
        (OPENED, None, codec.key_id(FIRST)),
        (CLOSED, codec.key_id(SECOND), None),
        (OPENED, None, codec.key_id(SECOND)),
    ]
    report = verify.verify(tmp_path, SECOND, None, [FIRST])
    assert (report.finding, report.records, report.notes) == (None, 9, [])


def test_nothing_is_changed_while_the_key_is_the_same(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    assert not chain(tmp_path, FIRST).renew()
    assert len(segments.files(tmp_path)) == 1


def test_a_chain_of_three_keys_is_one(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    write(tmp_path, SECOND, FIRST)
    write(tmp_path, THIRD, FIRST, SECOND)
    report = verify.verify(tmp_path, THIRD, None, [FIRST, SECOND])
    assert (report.finding, report.files) == (None, 3)


def test_until_the_server_is_started_commands_go_on_with_the_key_it_knows(tmp_path: Path) -> None:
    """Else the running server would find a chain that it cannot write to."""
    serving, command = (
        chain(tmp_path, FIRST, rotate=300),
        chain(tmp_path, SECOND, FIRST, rotate=300),
    )
    for n in range(6):
        serving.append({"event": "a_b", "n": n})
        command.append({"event": "c_d", "n": n})
    assert len(segments.files(tmp_path)) > 2
    report = verify.verify(tmp_path, SECOND, None, [FIRST])
    assert report.finding is None
    assert report.notes == ["the chain uses a former key until the server is restarted"]


def test_a_server_that_does_not_know_the_new_key_writes_nothing_behind_it(tmp_path: Path) -> None:
    old = chain(tmp_path, FIRST)
    old.append({"event": "a_b"})
    write(tmp_path, SECOND, FIRST)
    for _ in range(2):
        with pytest.raises(WrongKey):
            old.append({"event": "a_b"})
    assert verify.verify(tmp_path, SECOND, None, [FIRST]).finding is None


def test_without_the_former_key_its_part_is_nobodys(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    write(tmp_path, SECOND, FIRST)
    with pytest.raises(WrongKey):
        verify.verify(tmp_path, SECOND)
    with pytest.raises(WrongKey):
        verify.verify(tmp_path, THIRD, None, [SECOND])


def test_when_the_part_of_a_key_is_pruned_the_key_is_wanted_no_more(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    write(tmp_path, SECOND, FIRST)
    kept = segments.first_of(segments.files(tmp_path)[1])
    chain(tmp_path, SECOND, FIRST).append(
        {"event": verify.PRUNED, "facts": {"first_kept": kept, "files": 1}}
    )
    segments.files(tmp_path)[0].unlink()
    assert verify.verify(tmp_path, SECOND).finding is None


@pytest.mark.parametrize("place", [1, 4], ids=["before", "at the end"])
def test_a_record_changed_by_who_has_the_former_key_is_found_behind_it(
    tmp_path: Path, place: int
) -> None:
    """The first record of the next key is sealed with the seal of the last one before it."""
    write(tmp_path, FIRST)
    write(tmp_path, SECOND, FIRST)
    before = segments.files(tmp_path)[0]
    lines = [codec.read(raw) for raw in before.read_bytes().splitlines()]
    previous, made = codec.GENESIS, b""
    assert lines[0] is not None
    sealing = codec.bind(FIRST, lines[0].fields["chain"])
    for number, found in enumerate(lines):
        assert found is not None
        fields = {k: v for k, v in found.fields.items() if k not in ("seq", "time", "mac")}
        if number == place:
            fields["forged"] = True
        content, previous = codec.write(
            sealing, previous, found.seq, str(found.fields["time"]), codec.encode(fields)
        )
        made += content
    before.write_bytes(made)
    finding = verify.verify(tmp_path, SECOND, None, [FIRST]).finding
    assert finding is not None
    assert finding.file == segments.files(tmp_path)[1].name


def test_a_file_written_with_a_former_key_behind_its_successor_is_forged(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    write(tmp_path, SECOND, FIRST)
    audit = chain(tmp_path, SECOND, FIRST)
    head = audit.head()
    emitted = {"event": OPENED, "key": codec.key_id(FIRST), "previous": head.mac}
    content, _ = codec.write(FIRST, head.mac, head.seq + 1, "2026-01-01T00:00:00.000Z",
                            codec.encode(emitted))  # fmt: skip
    segments.create(tmp_path, head.seq + 1, content)
    finding = verify.verify(tmp_path, SECOND, None, [FIRST]).finding
    assert finding is not None
    assert (finding.kind, finding.seq) == ("forged", head.seq + 1)


def test_the_part_of_the_new_key_taken_off_is_said_and_missed_by_a_checkpoint(
    tmp_path: Path,
) -> None:
    write(tmp_path, FIRST)
    write(tmp_path, SECOND, FIRST)
    last = events(tmp_path)[-1]
    segments.files(tmp_path)[1].unlink()
    report = verify.verify(tmp_path, SECOND, None, [FIRST])
    assert report.notes == ["the chain uses a former key until the server is restarted"]
    point = Checkpoint(int(str(last["seq"])), str(last["mac"]), "then")
    finding = verify.verify(tmp_path, SECOND, point, [FIRST]).finding
    assert finding is not None
    assert finding.kind == "truncated"


def test_a_server_killed_between_two_keys_loses_nothing(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    audit = chain(tmp_path, SECOND, FIRST)
    audit.head()
    audit._write(codec.encode({"event": CLOSED, "next_key": codec.key_id(SECOND)}), CLOSED)
    audit.close()  # and never came to begin the next file
    write(tmp_path, SECOND, FIRST)
    report = verify.verify(tmp_path, SECOND, None, [FIRST])
    assert (report.finding, report.notes) == (None, [])


def test_the_order_of_keys_is_the_order_in_which_they_sealed() -> None:
    keys = Keyring(THIRD, [FIRST, SECOND])
    assert keys.runs_before(FIRST, SECOND)
    assert keys.runs_before(SECOND, THIRD)
    assert not keys.runs_before(THIRD, FIRST)
    assert not keys.runs_before(FIRST, FIRST)
    assert keys.named(codec.key_id(b"d" * 32)) is None
