"""The table of headers: each once, each fit to be sent."""

from __future__ import annotations

import re

from plugins.security_headers.table import HEADERS, hsts


def test_the_table_is_what_the_readme_promises():
    """A changed value is a decision, so it is written twice."""
    assert dict(HEADERS) == {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def test_no_header_stands_twice_and_each_is_plain_text():
    """A header sent twice is read as one, as two, or not at all."""
    names = [name.lower() for name, _ in HEADERS]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z-]+", name) for name in names)
    assert all(re.fullmatch(r"[ -~]+", value) for _, value in HEADERS)


def test_strict_transport_security_is_not_in_the_table():
    """It is Nginx's to send; here it takes a setting."""
    assert "strict-transport-security" not in {name.lower() for name, _ in HEADERS}
    assert hsts(63072000) == ("Strict-Transport-Security", "max-age=63072000")
