"""Whom a request claims to be, as far as its headers say, without asking whether it is true.

Only the public half of a credential is looked at: the id within an API key, the name in Basic.
What is kept of it is a digest, for it may be anything at all.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import unquote_plus

_LONGEST = 8192


def claimed(environ: Mapping[str, str], headers: tuple[str, ...]) -> frozenset[str]:
    """Return everyone who is claimed; nobody where no credential is offered or it names none.

    All headers count: a guess is not hidden by another credential beside it.
    """
    found = (_claimed_in(environ.get(name, "")) for name in headers)
    return frozenset(who for who in found if who)


def filled_in(form: Mapping[str, Any] | None, names: tuple[str, ...]) -> frozenset[str]:
    """Return everyone whom these fields of a form name."""
    values = ((form or {}).get(name) for name in names)
    return frozenset(_digest(value) for value in values if isinstance(value, str) and value)


def _claimed_in(offered: str) -> str:
    if not offered:
        return ""
    scheme, _, rest = offered.partition(" ")
    if scheme.lower() == "basic":
        return _digest(_user(rest))
    if rest and scheme.lower() != "apikey":
        return ""  # a token names its owner inside, and cannot be guessed
    parts = (rest or offered).split("_", 2)
    return _digest(parts[1] if len(parts) > 1 else "")


def offers(environ: Mapping[str, str], headers: tuple[str, ...]) -> bool:
    """Tell whether a request carries any credential."""
    return any(environ.get(name) for name in headers)


def named(client: str) -> str:
    """Return a name that was said elsewhere, such as on a sign-in page, in the same shape."""
    return _digest(client)


def place(address: str) -> str:
    """Return an address as its owner has it: one home has a whole /64 of IPv6."""
    if ":" not in address:
        return address
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return address


def _user(text: str) -> str:
    try:
        decoded = base64.b64decode(text.strip()[:_LONGEST], validate=True)
    except (binascii.Error, ValueError):
        return ""
    # As whoever checks it reads it (RFC 6749, 2.3.1): else each spelling would be someone else,
    # with guesses of its own.
    return unquote_plus(decoded.partition(b":")[0].decode("utf-8", "replace"))


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:24] if text else ""
