"""Texts that are secrets: made of 256 random bits, kept as digests only.

A prefix says what a text is, so that one that leaked is found and named by a scanner. A
digest without salt is enough where the text is random (see docs/design.md on API keys).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from string import ascii_letters, digits

BYTES = 32
SECRET, CODE, REFRESH, DEVICE, SESSION = "scs_", "sac_", "srt_", "sdc_", ""
Random = Callable[[int], str]
_LENGTH, _LETTERS = 43, ascii_letters + digits + "-_"  # of 32 bytes in base64url
_ID, _MARK = 16, 16  # bytes in a refresh token, before and behind what is random
_REFRESH_LENGTH = 86  # of all 64 in base64url


def new_id() -> str:
    """Return an id that nobody guesses and everybody may see: 128 bits."""
    return secrets.token_hex(16)


def new_token(prefix: str, random: Random = secrets.token_urlsafe) -> str:
    """Return a fresh secret text."""
    return prefix + random(BYTES)


def new_refresh(
    family: str, mark: str, random: Callable[[int], bytes] = secrets.token_bytes
) -> str:
    """Return a fresh refresh token: its family's id, 256 random bits, and the family's mark.

    ``family`` is 32 hex digits, ``mark`` the family's secret. By the mark a token that was
    spent long ago is told from one that somebody made up, and nothing need be kept of it.
    """
    nonce = random(BYTES)
    whole = bytes.fromhex(family) + nonce
    return REFRESH + urlsafe_b64encode(whole + _marked(whole, mark)).rstrip(b"=").decode()


def family_of(text: str) -> str | None:
    """Return the family that a text says it is a refresh token of, None where it says none."""
    whole = _parts(text)
    return None if whole is None else whole[:_ID].hex()


def is_marked(text: str, mark: str) -> bool:
    """Tell whether the family with this mark gave a refresh token."""
    whole = _parts(text)
    if whole is None:
        return False
    return hmac.compare_digest(_marked(whole[:-_MARK], mark), whole[-_MARK:])


def _parts(text: str) -> bytes | None:
    rest = text.removeprefix(REFRESH)
    if not text.startswith(REFRESH) or len(rest) != _REFRESH_LENGTH or rest.strip(_LETTERS):
        return None
    return urlsafe_b64decode(rest + "=" * (-len(rest) % 4))


def _marked(whole: bytes, mark: str) -> bytes:
    return hmac.digest(mark.encode(), whole, "sha256")[:_MARK]


def is_well_formed_secret(secret: str) -> bool:
    """Tell whether a text has the shape of a client's secret; all of them are made here."""
    rest = secret.removeprefix(SECRET)
    return secret.startswith(SECRET) and len(rest) == _LENGTH and not rest.strip(_LETTERS)


def digest(text: str) -> str:
    """Return what is kept of a secret text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
