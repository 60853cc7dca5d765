"""The text of security.txt (RFC 9116), and what may not stand in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

# What a field's value may hold: no line break, so that no field makes another one.
_ADDRESS = re.compile(
    r"(?:mailto:[^\s@]{1,64}@[^\s@]{1,255}|tel:\+[0-9()-]{3,32}|https://[!-~]{1,2000})"
)
_LINK = re.compile(r"https://[!-~]{1,2000}")
# RFC 3339: a time zone must be there, and the day, or it would mean another moment elsewhere.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)")


def is_address(text: str) -> bool:
    """Tell whether a text is an address to report to: mailto:, tel: or https:// (2.5.3)."""
    return _ADDRESS.fullmatch(text) is not None and text.isascii()


def is_link(text: str) -> bool:
    """Tell whether a text is a link; http would let anybody on the way change what it says."""
    return _LINK.fullmatch(text) is not None


def moment_of(text: str) -> datetime:
    """Return the moment that a text names (RFC 3339). Raises ValueError."""
    if not _MOMENT.fullmatch(text):
        raise ValueError("not a moment such as 2027-01-31T00:00:00Z")
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class ContactFile:
    """What an operator says: where to report, until when that holds, and under which policy."""

    contacts: Sequence[str]  # the preferred one first
    expires: datetime
    policy: str = ""
    languages: Sequence[str] = ()
    canonical: Sequence[str] = ()

    def is_current(self, now: float) -> bool:
        """Tell whether it may still be relied on (2.5.5); ``now`` in epoch seconds."""
        return now < self.expires.timestamp()

    def text(self) -> str:
        """Return the file: a field on each line, with the line ends of the RFC (2.2)."""
        fields = [("Contact", each) for each in self.contacts]
        fields += [("Expires", self.expires.strftime("%Y-%m-%dT%H:%M:%SZ"))]
        fields += [("Canonical", each) for each in self.canonical]
        fields += [("Policy", self.policy)] if self.policy else []
        fields += [("Preferred-Languages", ", ".join(self.languages))] if self.languages else []
        return "".join(f"{name}: {value}\r\n" for name, value in fields)
