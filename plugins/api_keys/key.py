"""The text of an API key: ``sml_<id>_<secret><checksum>``, always 66 characters.

The id (12 characters) is public and names the key in lists and logs. The secret is 256
random bits in 43 characters. The checksum (6) lets a scanner tell a real key from a text
that looks like one, and us refuse a mistyped one without asking the store. Secret scanners
find keys by ``sml_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}``.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

PREFIX = "sml_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _SECRET, _CHECKSUM = 12, 43, 6
_SHAPE = re.compile(rf"{PREFIX}([0-9A-Za-z]{{12}})_[0-9A-Za-z]{{49}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """A well-formed key; ``text`` is the secret as handed out, so it is kept out of repr."""

    id: str
    text: str

    def __repr__(self) -> str:
        return f"Key({self.id})"

    def digest(self) -> str:
        """Return what is stored: SHA-256 of the whole text, in hex.

        A fast hash is right here. A slow one protects secrets that people choose; 256 random
        bits cannot be guessed at any speed (OWASP ASVS 5.0, 6.5.2).
        """
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()


def new_key(random_bytes: Callable[[int], bytes]) -> Key:
    """Return a fresh key; ``random_bytes`` must be a cryptographic source."""
    key_id = _base62(int.from_bytes(random_bytes(16)), _ID)
    secret = _base62(int.from_bytes(random_bytes(32)), _SECRET)
    body = f"{PREFIX}{key_id}_{secret}"
    return Key(key_id, body + _checksum(body))


def parse(text: str) -> Key | None:
    """Return the key a text is, or None for any other text; raises for none."""
    match = _SHAPE.fullmatch(text)
    if match is None or _checksum(text[:-_CHECKSUM]) != text[-_CHECKSUM:]:
        return None
    return Key(match[1], text)


def contains_key(text: str) -> bool:
    """Tell whether a text holds what is shaped like a key; a model may begin with the prefix."""
    return PREFIX in text and _SHAPE.search(text) is not None


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    """Write the low digits of a number; 62**43 exceeds 2**256, so no bit of a secret is lost."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
