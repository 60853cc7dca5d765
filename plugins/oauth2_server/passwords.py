"""Slow hashes (Argon2id) for secrets of clients and passwords of people.

An unknown name costs what a wrong secret costs, so that time tells nobody who exists. A
secret that was right is remembered by a digest under a key of this process, so that a client
that asks often pays once; a change of its record forgets it.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type

# OWASP ASVS 5.0, appendix C: t=2 wants 19 MiB or more.
TIME_COST, MEMORY_KIB, LANES = 2, 19 * 1024, 1
REMEMBERED = 1024
LONGEST = 1024  # characters; what is longer is nobody's and only costs
AT_ONCE = 2  # hashes at one time in one process: 19 MiB and a core each


class Passwords:
    """Hashes and verifies; holds no secret."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(TIME_COST, MEMORY_KIB, LANES, type=Type.ID)
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, str] = {}

    def hash(self, text: str) -> str:
        """Return what may be kept of a secret."""
        return self._hasher.hash(text)

    def verify(self, text: str, hashed: str | None) -> bool:
        """Tell whether a secret is the one that was hashed; None is an unknown name's."""
        nobodys = self._nobodys
        right = self._matches(text[:LONGEST], nobodys if hashed is None else hashed)
        return right and hashed is not None and len(text) <= LONGEST

    def verify_again(self, text: str, hashed: str | None) -> bool:
        """Tell the same for a random secret, quickly where it was right before."""
        seen = hmac.digest(self._key, f"{hashed}\0{text}".encode(errors="replace"), "sha256")
        if hashed is not None and self._known.get(seen) == hashed:
            return True
        if not self.verify(text, hashed):
            return False
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[seen] = str(hashed)
        return True

    def _matches(self, text: str, hashed: str) -> bool:
        with self._turns:
            try:
                return self._hasher.verify(hashed, text)
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return False

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash(secrets.token_hex(32))
