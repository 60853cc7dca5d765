"""`secureml audit-log ...` for people and scripts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from plugins.audit_log import segments
from plugins.audit_log.plugin import AuditLog
from secureml import Event
from secureml.models.artifact import signature
from secureml.testing import Harness


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "logs").mkdir()
    key = signature.private_pem(signature.generate_key())
    for name, content in (("audit.key", b"k" * 64), ("checkpoint.key", key)):
        (tmp_path / "keys" / name).write_bytes(content)
        (tmp_path / "keys" / name).chmod(0o600)
    return Harness(tmp_path)


@pytest.fixture
def audit(harness: Harness) -> AuditLog:
    words = {"key": "file:keys/audit.key", "checkpoint_key": "file:keys/checkpoint.key"}
    plugin: AuditLog = harness.build(AuditLog, {**words, "rotate": "64KiB"})
    for client, name in (("acme", "authn_login_fail"), ("=cmd|' /C calc'!A0", "authz_fail")):
        plugin.on_event(Event(name, client, {"by": "test\u001b[31m"}))
    return plugin


def run(audit: AuditLog, *words: str) -> Result:
    return CliRunner().invoke(audit.commands(), words)


def emitted(audit: AuditLog, *words: str) -> Any:
    done = run(audit, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def spoil(harness: Harness) -> None:
    path = segments.files(harness.folder / "logs/audit")[0]
    path.write_bytes(path.read_bytes().replace(b'"acme"', b'"evil"'))


def test_a_whole_chain_ends_with_0_and_a_broken_one_with_1(
    harness: Harness, audit: AuditLog
) -> None:
    assert emitted(audit, "verify")["ok"] is True
    spoil(harness)
    done = run(audit, "verify")
    assert done.exit_code == 1
    assert "broken at record 2 (audit-000000000001.jsonl line 2): changed" in done.stdout
    found = json.loads(run(audit, "verify", "--json").stdout)
    assert (found["ok"], found["finding"]["kind"], found["finding"]["seq"]) == (False, "changed", 2)


def test_a_cut_end_is_missed_after_a_checkpoint(harness: Harness, audit: AuditLog) -> None:
    point = emitted(audit, "checkpoint")
    assert emitted(audit, "verify")["checkpoint"] == point["seq"] == 3
    path = segments.files(harness.folder / "logs/audit")[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    assert "truncated" in run(audit, "verify").stdout
    copy = harness.folder / "auditor"
    copy.write_bytes((harness.folder / "logs/audit-checkpoints.jsonl").read_bytes())
    own = run(audit, "verify", "--checkpoints", str(copy), "--public", point["public"])
    assert "truncated" in own.stdout
    assert run(audit, "verify", "--public", "nonsense").exit_code == 1


def test_show_filters_and_lets_no_name_steer_the_terminal(audit: AuditLog) -> None:
    assert [r["client"] for r in emitted(audit, "show", "--client", "acme")] == ["acme"]
    assert [r["event"] for r in emitted(audit, "show", "--event", "authz_fail")] == ["authz_fail"]
    assert emitted(audit, "show", "--until", "2026-01-01T00:00:00Z") == []
    assert len(emitted(audit, "show", "--since", "2h")) == 3
    assert len(emitted(audit, "show", "-n", "1")) == 1
    assert len(emitted(audit, "show", "--since", "2025-12-31T23:00:00Z")) == 3
    assert emitted(audit, "show", "--until", "now") == []  # the clock stands
    for wrong in ("yesterday", "2026-01-01T00:00:00"):
        assert run(audit, "show", "--since", wrong).exit_code == 2
    assert "\x1b" not in run(audit, "show").stdout
    assert "test\\x1b[31m" in run(audit, "show").stdout


def test_an_exported_table_holds_no_formula(harness: Harness, audit: AuditLog) -> None:
    for start in "=+-@\t\r\uff1d":
        audit.on_event(Event("a_b", f"{start}1+1"))
    done = run(audit, "export", "--format", "csv", "--output", str(harness.folder / "t.csv"))
    assert done.exit_code == 0, done.output
    assert "10 records" in done.stdout
    with (harness.folder / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["client"] for row in rows[2:]] == [
        "'=cmd|' /C calc'!A0", "'=1+1", "'+1+1", "'-1+1", "'@1+1", "'\t1+1", "'\r1+1", "'\uff1d1+1",
    ]  # fmt: skip
    assert all(cell[:1] not in ("=", "+", "-", "@") for row in rows for cell in row.values())


def test_exported_lines_are_the_records_themselves(harness: Harness, audit: AuditLog) -> None:
    path = segments.files(harness.folder / "logs/audit")[0]
    assert run(audit, "export").stdout == path.read_text()
    assert run(audit, "export", "--output", str(path)).exit_code == 1, "nothing is overwritten"


def test_old_files_go_and_what_is_left_is_provable(harness: Harness, audit: AuditLog) -> None:
    for _ in range(600):
        audit.on_event(Event("a_b", "acme", {"fill": "x" * 200}))
    harness.clock.advance(100 * 86400)
    for _ in range(300):
        audit.on_event(Event("a_b", "acme", {"fill": "x" * 200}))
    before = len(segments.files(harness.folder / "logs/audit"))

    gone = emitted(audit, "prune", "--older-than", "90d")["deleted"]
    assert 0 < len(gone) < before
    report = emitted(audit, "verify")
    assert report["ok"]
    assert report["first"] > 1
    assert emitted(audit, "prune", "--older-than", "90d")["deleted"] == []

    segments.files(harness.folder / "logs/audit")[0].unlink()
    assert "dropped file" in run(audit, "verify").stdout


def test_a_broken_chain_is_not_pruned(harness: Harness, audit: AuditLog) -> None:
    spoil(harness)
    assert "nothing is deleted" in run(audit, "prune", "--older-than", "0s").output


def test_a_broken_chain_is_ended_by_a_new_one_that_names_it(
    harness: Harness, audit: AuditLog
) -> None:
    path = segments.files(harness.folder / "logs/audit")[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert "truncated" in run(audit, "verify").stdout
    assert run(audit, "start-new").exit_code == 2, "why is not a matter of taste"
    was = json.loads(run(audit, "verify", "--json").stdout)["chain"]
    made = emitted(audit, "start-new", "--reason", "logs were cleaned up")
    assert emitted(audit, "verify")["chain"] == made["chain"] != was
    first = emitted(audit, "show", "--event", "audit_chain_started")[0]["facts"]
    assert (first["chain"], first["reason"]) == (was, "logs were cleaned up")
    assert (harness.folder / "logs/audit" / first["set_aside"]).is_dir()


def test_attack_a_chain_begun_anew_without_the_checkpoint_key_is_found(
    harness: Harness, audit: AuditLog
) -> None:
    """Who has the key of the log can seal another one; what was signed is of the one before."""
    emitted(audit, "checkpoint")
    audit._chain.start_new("nothing to see here")
    done = run(audit, "verify")
    assert done.exit_code == 1
    assert "replaced, another chain was signed" in done.stdout


def cut(harness: Harness) -> None:
    path = segments.files(harness.folder / "logs/audit")[-1]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def emptied(harness: Harness) -> None:
    for path in segments.files(harness.folder / "logs/audit"):
        path.write_bytes(b"")


def removed(harness: Harness) -> None:
    for path in segments.files(harness.folder / "logs/audit"):
        path.unlink()


@pytest.mark.parametrize("harm", [cut, spoil, emptied, removed])
@pytest.mark.parametrize("opened", [True, False], ids=["by us", "by a new process"])
def test_attack_a_log_that_is_not_whole_gets_no_signature(
    harness: Harness, audit: AuditLog, harm: Any, opened: bool
) -> None:
    """Whoever cut it would have the signature that agrees with it."""
    points = harness.folder / "logs/audit-checkpoints.jsonl"
    before = points.read_bytes()
    audit.close()
    before = points.read_bytes()
    harm(harness)
    if not opened:
        words = {"key": "file:keys/audit.key", "checkpoint_key": "file:keys/checkpoint.key"}
        audit = harness.build(AuditLog, words)
    done = run(audit, "checkpoint")
    assert done.exit_code == 1
    assert "nothing is signed" in done.stderr
    assert "audit-log start-new" in done.stderr
    assert points.read_bytes() == before
    assert run(audit, "verify").exit_code == 1


def test_after_a_new_chain_is_begun_there_is_something_to_sign_again(
    harness: Harness, audit: AuditLog
) -> None:
    cut(harness)
    assert run(audit, "checkpoint").exit_code == 1
    assert run(audit, "start-new", "--reason", "the end was cut off").exit_code == 0
    point = emitted(audit, "checkpoint")
    assert emitted(audit, "verify")["checkpoint"] == point["seq"]
