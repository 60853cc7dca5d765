"""Record codec: one record as one sealed line, written and read back.

A line is a JSON object of ASCII bytes whose last member is ``mac``. What is sealed is the line
without that member, after the mac of the record before it (HMAC-SHA256, RFC 2104), so a record
cannot be changed, moved or taken out without the key. Knows no Flask and no SecureML.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

GENESIS = "0" * 64
HEAD_DOMAIN = b"secureml audit head\0"
LIMIT = 128 * 1024  # bytes of a line; a reader of the end of a file never needs more than this
_SEAL = b',"mac":"'
_TAIL = len(_SEAL) + 64 + 2
# Made once: json.dumps makes one a call for anything but its defaults. No NaN: it is no JSON.
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class LineTooLong(ValueError):
    """A record does not fit in a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A valid line: its members, and the bytes that its MAC covers."""

    fields: dict[str, Any]
    seq: int
    event: str
    mac: str
    sealed: bytes


def encode(fields: Mapping[str, Any]) -> str:
    """Return the members of a record as JSON without braces. Raises ValueError for NaN."""
    return _ENCODE(fields)[1:-1]


def dump(fields: Mapping[str, Any]) -> str:
    """Return a record as JSON, with its mac."""
    return _ENCODE(fields)


def rfc3339(seconds: float) -> str:
    """Return UTC to the millisecond, e.g. 2026-01-31T09:30:00.125Z."""
    moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return moment[:-6] + "Z"


def seal(key: bytes, previous: str, canonical: bytes) -> str:
    """Return the mac of a record, as 64 hexadecimal digits."""
    return hmac.digest(key, previous.encode() + canonical, "sha256").hex()


def bind(key: bytes, chain: str) -> bytes:
    """Derive the MAC key of one chain from its key and its name.

    Two chains with one key have different names, so no record of the one passes in the other. A
    chain that was begun before chains had names is sealed with the key itself.
    """
    if not chain:
        return key
    return hmac.digest(key, b"secureml audit chain\0" + chain.encode(), "sha256")


def write(key: bytes, previous: str, seq: int, time: str, members: str) -> tuple[bytes, str]:
    """Return a sealed line with its line feed, and its mac. Raises LineTooLong."""
    body = f'{{"seq":{seq},"time":"{time}",{members}'.encode("ascii")
    mac = seal(key, previous, body + b"}")
    line = body + _SEAL + mac.encode() + b'"}\n'
    if len(line) > LIMIT:
        raise LineTooLong(f"a record of {len(line)} bytes is too long for a line")
    return line, mac


def read(line: bytes) -> Line | None:
    """Decode a line without its line feed; None when it is not a valid record."""
    if line[-_TAIL : -_TAIL + len(_SEAL)] != _SEAL or line[-2:] != b'"}':
        return None
    try:
        fields = json.loads(line)
        seq, mac = fields["seq"], fields["mac"]
        event = str(fields.get("event", ""))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(seq) is not int or mac != line[-66:-2].decode("ascii", "replace"):
        return None
    return Line(fields, seq, event, mac, line[:-_TAIL] + b"}")


def key_id(key: bytes) -> str:
    """Return a public id of a key."""
    return sha256(b"secureml audit key\0" + key).hexdigest()[:16]
