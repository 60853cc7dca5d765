"""Pruning: what is deleted is said first, and nothing young is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from plugins.audit_log import segments, verify
from plugins.audit_log.chain import Chain, ChainOptions
from plugins.audit_log.service import AuditService

KEY = b"k" * 32
DAY = 86400.0


@dataclass
class Days:
    seconds: float = 1_767_225_600.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Days:
    return Days()


@pytest.fixture
def service(tmp_path: Path, clock: Days) -> AuditService:
    chain = Chain(tmp_path, KEY, clock, ChainOptions(rotate=900))
    for _ in range(20):
        chain.append({"event": "a_b"})
        clock.seconds += DAY
    return AuditService(tmp_path, KEY, chain, None, clock)


def test_only_files_whose_every_record_is_old_go(service: AuditService, tmp_path: Path) -> None:
    kept = {r["seq"] for r in service.reader.after(0) if r["time"] >= "2026-01-11"}
    assert service.prune(10 * DAY)
    left = {r["seq"] for r in service.reader.after(0)}
    assert kept <= left
    report = verify.verify(tmp_path, KEY)
    assert report.finding is None
    assert report.first == min(left) > 1


def test_the_file_that_is_written_stays_whatever_its_age(
    service: AuditService, tmp_path: Path
) -> None:
    written = segments.files(tmp_path)[-1]
    service.prune(0.0)
    assert segments.files(tmp_path)[0] == written
    assert verify.verify(tmp_path, KEY).finding is None


def test_a_crash_between_saying_and_deleting_is_no_gap(
    service: AuditService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            service.prune(10 * DAY)
    assert verify.verify(tmp_path, KEY).finding is None
    assert service.prune(10 * DAY)
    assert verify.verify(tmp_path, KEY).finding is None


def test_a_chain_without_checkpoints_is_noted(service: AuditService) -> None:
    report, point = service.verify()
    assert point is None
    assert any("no checkpoint" in note for note in report.notes)
