"""The page of the security contact: there where it was set, for everyone, and while it holds."""

from __future__ import annotations

import pytest

from plugins.security_txt.plugin import SecurityTxt
from secureml.testing import Harness

PATH = "/.well-known/security.txt"
TABLE = {"contact": ["mailto:security@example.org"], "expires": "2026-06-30T00:00:00Z"}


@pytest.fixture
def harness(tmp_path):
    return Harness(tmp_path)  # its clock is set to 2026-01-01


def caller(harness, table=TABLE):
    return harness.app([harness.load(SecurityTxt, table)]).test_client()


def test_everyone_may_read_it(harness):
    answer = caller(harness).get(PATH)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.text.startswith("Contact: mailto:security@example.org\r\nExpires: 2026-06-30T")


def test_without_the_plugin_there_is_none(harness):
    assert harness.app([]).test_client().get(PATH).status_code != 200


def test_it_is_gone_after_its_date(harness):
    client = caller(harness)
    harness.clock.advance(181 * 86400)
    answer = client.get(PATH)
    assert answer.status_code == 404
    assert b"example.org" not in answer.data
