"""When a checkpoint is signed, and what happens when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plugins.audit_log.chain import Head
from plugins.audit_log.notary import Notary


def notary(place: Path, every: int = 5) -> Notary:
    return Notary(Ed25519PrivateKey.generate(), place, every, lambda: 0.0)


def test_it_signs_every_so_many_records(tmp_path: Path) -> None:
    signing = notary(tmp_path / "points")
    for seq in range(1, 13):
        signing.look(Head(seq, "a" * 64))
    assert len((tmp_path / "points").read_bytes().splitlines()) == 2
    assert signing.covered() == 10


def test_what_is_owed_is_made_up_for_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signing = notary(tmp_path / "away" / "points")
    for seq in range(5, 9):
        signing.look(Head(seq, "a" * 64))
    assert [r.message for r in caplog.records] == ["no checkpoint of record 5 (FileNotFoundError)"]
    assert signing.covered() == 0
    (tmp_path / "away").mkdir()
    signing.look(Head(9, "a" * 64))
    assert signing.covered() == 9


def test_lines_of_another_signer_cover_nothing(tmp_path: Path) -> None:
    notary(tmp_path / "points").sign(Head(99, "a" * 64))
    assert notary(tmp_path / "points").covered() == 0
