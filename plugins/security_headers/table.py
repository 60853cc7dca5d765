"""The headers every API answer carries, and why.

Strict-Transport-Security is Nginx's to send: two senders would send it twice.
"""

from __future__ import annotations

HEADERS: tuple[tuple[str, str], ...] = (
    # Predictions and keys are nobody's to keep: no cache on the way stores them.
    ("Cache-Control", "no-store"),
    # An answer is data: it loads nothing, runs nothing and is framed by no one.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    # JSON stays JSON, whatever a browser thinks it looks like.
    ("X-Content-Type-Options", "nosniff"),
    # Addresses name models; they are not for other sites' logs.
    ("Referrer-Policy", "no-referrer"),
    # No other origin may embed an answer.
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


def hsts(seconds: int) -> tuple[str, str]:
    """Return the header that keeps browsers on HTTPS for so many seconds (RFC 6797)."""
    return "Strict-Transport-Security", f"max-age={seconds}"
