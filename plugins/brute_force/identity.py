"""The identities that a request claims, in headers or a form, before they are verified.

Only the public half of a credential is looked at: the id within an API key, the name in Basic.
What is kept of it is a digest, for it may be anything at all.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_plus

_MAX_LENGTH = 8192


def claimed_identities(environ: Mapping[str, str], headers: tuple[str, ...]) -> frozenset[str]:
    """Return the digests of all claimed identities; none where no credential names one.

    All headers count: a guess is not hidden by another credential beside it.
    """
    found = (_claimed_identity(environ.get(name, "")) for name in headers)
    return frozenset(who for who in found if who)


def form_identities(form: Mapping[str, Any] | None, names: tuple[str, ...]) -> frozenset[str]:
    """Return the digests of all identities that these fields of a form name."""
    values = ((form or {}).get(name) for name in names)
    return frozenset(_digest(value) for value in values if isinstance(value, str) and value)


def _claimed_identity(credential: str) -> str:
    if not credential:
        return ""
    scheme, _, rest = credential.partition(" ")
    if scheme.lower() == "basic":
        return _digest(_user(rest))
    if rest and scheme.lower() != "apikey":
        return ""  # a token cannot be guessed
    parts = (rest or credential).split("_", 2)
    return _digest(parts[1] if len(parts) > 1 else "")


def has_credentials(environ: Mapping[str, str], headers: tuple[str, ...]) -> bool:
    """Return whether a request carries any credential."""
    return any(environ.get(name) for name in headers)


def identity_digest(name: str) -> str:
    """Return the digest of a name from elsewhere, such as a sign-in page."""
    return _digest(name)


def _user(text: str) -> str:
    try:
        decoded = base64.b64decode(text.strip()[:_MAX_LENGTH], validate=True)
    except (binascii.Error, ValueError):
        return ""
    # As whoever checks it reads it (RFC 6749, 2.3.1): else each spelling would be someone else,
    # with guesses of its own.
    return unquote_plus(decoded.partition(b":")[0].decode("utf-8", "replace"))


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:24] if text else ""
