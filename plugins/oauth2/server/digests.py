"""Texts that are secrets: made of 256 random bits, kept as digests only.

A prefix says what a text is, so that one that leaked is found and named by a scanner. A
digest without salt is enough where the text is random (see docs/design.md on API keys).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from string import ascii_letters, digits

BYTES = 32
SECRET, CODE, REFRESH, DEVICE, SESSION = "scs_", "sac_", "srt_", "sdc_", ""
Random = Callable[[int], str]
_LENGTH, _LETTERS = 43, ascii_letters + digits + "-_"  # of 32 bytes in base64url


def new_id() -> str:
    """Return an id that nobody guesses and everybody may see: 128 bits."""
    return secrets.token_hex(16)


def new_text(prefix: str, random: Random = secrets.token_urlsafe) -> str:
    """Return a fresh secret text."""
    return prefix + random(BYTES)


def is_made(secret: str) -> bool:
    """Tell whether a text has the shape of a client's secret; all of them are made here."""
    rest = secret.removeprefix(SECRET)
    return secret.startswith(SECRET) and len(rest) == _LENGTH and not rest.strip(_LETTERS)


def digest(text: str) -> str:
    """Return what is kept of a secret text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
