"""The settings of the security contact: what stops the start, and what only warns."""

from __future__ import annotations

import pytest

from plugins.security_txt.plugin import SecurityTxt
from secureml import ConfigError
from secureml.testing import Harness

TABLE = {"contact": ["mailto:security@example.org"], "expires": "2026-06-30T00:00:00Z"}


@pytest.fixture
def harness(tmp_path):
    return Harness(tmp_path)  # its clock is set to 2026-01-01


def test_a_date_that_is_past_does_not_stop_the_start(harness, caplog):
    harness.build(SecurityTxt, TABLE | {"expires": "2025-12-31T00:00:00Z"})
    assert "expires: 2025-12-31T00:00:00Z is past" in caplog.text
    assert "fix: " in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("contact", []),
        ("contact", ["security@example.org"]),
        ("contact", ["mailto:a@b\nContact: mailto:thief@example.net"]),
        ("expires", "next year"),
        ("policy", "http://example.org/policy"),
        ("languages", ["en\r\nPolicy: x"]),
        ("canonical", ["https://example.org/\nPolicy: https://example.net"]),
        ("encryption", "x"),
    ],
)
def test_what_is_no_setting_stops_the_start(harness, key, value):
    with pytest.raises(ConfigError):
        harness.build(SecurityTxt, TABLE | {key: value})


@pytest.mark.parametrize("key", ["contact", "expires"])
def test_who_and_until_when_must_be_said(harness, key):
    with pytest.raises(ConfigError):
        harness.build(SecurityTxt, {name: TABLE[name] for name in TABLE if name != key})
