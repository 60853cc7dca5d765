"""Where a browser may be sent back to: registered whole, compared whole (RFC 9700, 2.1).

No pattern, no prefix, no other port, no normalisation: what differs in one byte is another
address. What could never be safe is refused when it is registered.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MAX_LENGTH = 1024
_PLAIN = re.compile(r"[!-~]+")
# RFC 8252, 7.1: an app's own scheme is a domain name in reverse, so it has a dot.
_APP_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
_LOOPBACK = ("127.0.0.1", "[::1]")
# What stands in it goes into a page's policy, where `;` and `,` would begin another rule.
_NETLOC = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class RedirectRefused(ValueError):
    """An address nobody may be sent to; one line says why."""


def check(uri: str) -> str:
    """Return an address that may be registered, as it is; raises RedirectRefused."""
    if len(uri) > MAX_LENGTH or not _PLAIN.fullmatch(uri) or set(uri) & set('\\"<>^`{|}*'):
        raise RedirectRefused("it holds characters that do not belong into an address")
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise RedirectRefused("it cannot be read") from None
    if "#" in uri:
        raise RedirectRefused("a fragment is not sent to the server (RFC 6749, 3.1.2)")
    if "@" in parts.netloc:
        raise RedirectRefused("it names a user")
    if {".", ".."} & set(parts.path.split("/")):
        raise RedirectRefused("its path goes up")
    _check_scheme(parts.scheme, host, parts.netloc)
    return uri


def _check_scheme(scheme: str, host: str, netloc: str) -> None:
    if scheme == "https":
        if not host:
            raise RedirectRefused("it names no host")
        if not _NETLOC.fullmatch(netloc):
            raise RedirectRefused("its host is not a name or address of one")
        return
    if scheme == "http":
        if not netloc.startswith(_LOOPBACK) or netloc.rpartition(":")[0] not in _LOOPBACK:
            raise RedirectRefused("http is for 127.0.0.1 and [::1] with a port (RFC 8252, 7.3)")
        return
    if not _APP_SCHEME.fullmatch(scheme):
        raise RedirectRefused("use https, or an app's own scheme such as com.example.app")


def form_target(uri: str) -> str:
    """Return what a page's policy must allow for its form to lead there (CSP, form-action)."""
    parts = urlsplit(uri)
    if parts.scheme in ("https", "http"):
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}:"
