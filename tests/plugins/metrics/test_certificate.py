"""From when until when a certificate holds, read anew each time."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from plugins.metrics.certificate import validities
from secureml.cli import certificates

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86400


@pytest.fixture
def folder(tmp_path):
    """A folder with a certificate made on the first of January."""
    (tmp_path / "tls").mkdir()
    certificates.make(tmp_path / "tls", ["localhost"], NOW)
    return tmp_path


def test_a_certificate_says_from_when_until_when(folder):
    (found,) = validities(["tls/server.crt"], folder)
    assert found.file == "tls/server.crt"
    assert found.begins == NOW.timestamp() - 300
    assert found.ends == found.begins + 365 * DAY


def test_a_path_may_lie_elsewhere(folder, tmp_path):
    path = str(folder / "tls" / "server.crt")
    assert [found.file for found in validities([path], tmp_path / "nowhere")] == [path]


def test_one_that_is_renewed_in_place_is_read_anew(folder):
    before = list(validities(["tls/server.crt"], folder))
    for name in ("server.crt", "server.key"):
        (folder / "tls" / name).unlink()
    certificates.make(folder / "tls", ["localhost"], datetime(2026, 6, 1, tzinfo=UTC))
    assert next(iter(validities(["tls/server.crt"], folder))).ends > before[0].ends


def test_one_that_is_not_there_is_left_out_without_a_word(folder, caplog):
    assert list(validities(["tls/other.crt"], folder)) == []
    assert caplog.text == ""


def test_one_that_cannot_be_read_is_logged_and_the_next_is_told(folder, caplog):
    (folder / "tls" / "bad.crt").write_text("not a certificate")
    with caplog.at_level(logging.WARNING):
        found = list(validities(["tls/bad.crt", "tls/server.crt"], folder))
    assert [one.file for one in found] == ["tls/server.crt"]
    assert "tls/bad.crt cannot be read (ValueError)" in caplog.text
