"""A line is written, read and sealed as the README says."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from plugins.audit_log import codec

KEY = b"k" * 32


def made(members: str = '"event":"a_b"') -> bytes:
    return codec.write(KEY, codec.GENESIS, 1, "2026-01-01T00:00:00.000Z", members)[0]


def test_anyone_with_the_key_can_make_the_seal_from_the_description() -> None:
    raw = made().rstrip(b"\n")
    mac = json.loads(raw)["mac"]
    without = raw.replace(f',"mac":"{mac}"'.encode(), b"")
    assert hmac.new(KEY, b"0" * 64 + without, hashlib.sha256).hexdigest() == mac


def test_what_is_written_is_read_back() -> None:
    found = codec.read(made().rstrip(b"\n"))
    assert found is not None
    assert (found.seq, found.event) == (1, "a_b")
    assert found.mac == codec.seal(KEY, codec.GENESIS, found.sealed)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"noise", made(), made()[:-2], made()[1:-1], b"[" * 5000 + made()[:-1],
        made().rstrip(b"\n").replace(b'"seq":1', b'"seq":true'),
        made().rstrip(b"\n").replace(b'"seq":1', b'"seq":1.0'),
        made().rstrip(b"\n").replace(b'"seq":1,', b""),
    ],
)  # fmt: skip
def test_what_is_no_record_is_none(raw: bytes) -> None:
    assert codec.read(raw) is None


def test_time_is_utc_to_the_millisecond() -> None:
    assert codec.rfc3339(1_767_225_600.1259) == "2026-01-01T00:00:00.125Z"


def test_a_key_is_named_without_its_digest() -> None:
    assert codec.key_id(KEY) != codec.key_id(b"x" * 32)
    assert not hashlib.sha256(KEY).hexdigest().startswith(codec.key_id(KEY))
