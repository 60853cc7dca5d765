"""security.txt as RFC 9116 has it, and nothing in it that makes another field."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from plugins.security_txt.contact_file import ContactFile, is_address, is_link, moment_of

EXPIRES = datetime(2027, 1, 31, tzinfo=UTC)


def test_each_field_is_a_line():
    file = ContactFile(
        ("mailto:a@example.org", "https://example.org/report"),
        EXPIRES,
        "https://example.org/policy",
        ("en", "de"),
        ("https://example.org/.well-known/security.txt",),
    )
    assert file.text().split("\r\n") == [
        "Contact: mailto:a@example.org",
        "Contact: https://example.org/report",
        "Expires: 2027-01-31T00:00:00Z",
        "Canonical: https://example.org/.well-known/security.txt",
        "Policy: https://example.org/policy",
        "Preferred-Languages: en, de",
        "",
    ]


def test_what_was_not_said_has_no_line():
    lines = ContactFile(("tel:+1-201-555-0123",), EXPIRES).text()
    assert lines == "Contact: tel:+1-201-555-0123\r\nExpires: 2027-01-31T00:00:00Z\r\n"


def test_it_holds_until_its_date_and_not_at_it():
    file = ContactFile(("mailto:a@example.org",), EXPIRES)
    assert file.is_current(EXPIRES.timestamp() - 1)
    assert not file.is_current(EXPIRES.timestamp())


@pytest.mark.parametrize(
    "text", ["mailto:security@example.org", "tel:+1-201-555-0123", "https://example.org/report?x=1"]
)
def test_an_address_to_report_to(text):
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "security@example.org",
        "http://example.org",
        "https://",
        "javascript:alert(1)",
        "mailto:a@b\r\nContact: mailto:thief@example.net",
        "https://example.org/\nPolicy: https://example.net",
        "https://example.org/ x",
        "mailto:ü@example.org",
        "tel:112 or so",
    ],
)
def test_attack_what_is_no_address_or_makes_another_line(text):
    assert not is_address(text)
    assert not is_link(text)


@pytest.mark.parametrize(
    "text", ["2027-01-31T00:00:00Z", "2027-01-31t01:00:00+01:00", "2027-01-30T19:00:00-05:00"]
)
def test_a_moment_is_the_same_in_every_zone(text):
    assert moment_of(text) == EXPIRES


@pytest.mark.parametrize(
    "text", ["2027-01-31", "2027-01-31T00:00:00", "31.1.2027", "2027-02-30T00:00:00Z", ""]
)
def test_a_date_without_a_zone_or_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"moment|day"):
        moment_of(text)
