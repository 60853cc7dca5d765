"""Reading goes on where it ended, over the ends of files, and never shows half a line."""

from __future__ import annotations

from pathlib import Path

from plugins.audit_log import segments
from plugins.audit_log.chain import Chain, ChainOptions
from plugins.audit_log.reader import Filter, Reader


def chain(place: Path) -> Chain:
    return Chain(place, b"k" * 32, lambda: 0.0, ChainOptions(rotate=900))


def test_each_record_is_read_once_however_often_one_asks(tmp_path: Path) -> None:
    audit, reader, seen, last = chain(tmp_path), Reader(tmp_path), [], 0
    for n in range(60):
        audit.append({"event": "a_b", "n": n})
        if n % 7 == 0:
            for record in reader.after(last):
                last = record["seq"]
                seen.append(last)
    seen += [record["seq"] for record in reader.after(last)]
    assert seen == list(range(1, seen[-1] + 1))
    assert len(segments.files(tmp_path)) > 3
    assert [r["seq"] for r in Reader(tmp_path).after(0)] == seen


def test_a_line_that_is_being_written_is_not_shown_yet(tmp_path: Path) -> None:
    chain(tmp_path).append({"event": "a_b"})
    path = segments.files(tmp_path)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    reader = Reader(tmp_path)
    assert [r["seq"] for r in reader.after(0)] == [1]
    path.write_bytes(whole)
    assert [r["seq"] for r in reader.after(1)] == [2]


def test_a_filter_takes_what_has_all_of_its_words() -> None:
    record = {"client": "acme", "event": "a_b", "time": "2026-01-02T00:00:00.000Z"}
    assert Filter(client="acme", event="a_b").matches(record)
    assert not Filter(client="acme", event="c_d").matches(record)
    counted = {"event": "refusals_counted", "facts": {"code": "rate_limited", "event": "x_y"}}
    assert Filter(code="rate_limited").matches(counted)
    assert not Filter(code="forbidden").matches(counted)
    assert not Filter(event="x_y").matches(counted)
    assert not Filter(id="1").matches(record)
    assert Filter(since="2026-01-02T00:00:00.000Z", until="2026-01-03").matches(record)
    assert not Filter(until="2026-01-02T00:00:00.000Z").matches(record)
