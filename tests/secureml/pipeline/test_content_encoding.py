"""Packed bodies: what unpacks, what does not, and what it costs to find out."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.pipeline.content_encoding import unpack
from secureml.pipeline.problems import Problem

BODY_LIMIT = 1024 * 1024


def unpacking(body: bytes, coding: str = "gzip", ratio: int | None = 100, limit: int = BODY_LIMIT):
    """Return the code an encoded body is refused with, or what it unpacks to."""
    try:
        return unpack(body, coding, limit, ratio)
    except Problem as problem:
        return problem.code


@pytest.mark.parametrize("coding", ["gzip", "GZip", " x-gzip "])
def test_a_packed_body_is_what_was_packed(coding):
    """Where the operator reads gzip at all; x-gzip is the same word (RFC 9110, 8.4.1.3)."""
    assert unpacking(gzip.compress(b'{"a": 1}'), coding) == b'{"a": 1}'


@pytest.mark.parametrize("coding", ["identity", "Identity"])
@pytest.mark.parametrize("ratio", [None, 100])
def test_identity_is_no_coding(coding, ratio):
    """The body stays the bytes it is."""
    assert unpacking(b"abc", coding, ratio) == b"abc"


@pytest.mark.parametrize(
    "coding",
    ["gzip, gzip", "identity, gzip", "gzip,", "deflate", "br", "zstd", "compress", "", "gzip;q=1"],
)
def test_attack_several_codings_and_unknown_ones_are_refused_with_those_that_are_read(coding):
    """Two layers are how a bomb hides; RFC 9110, 15.5.16 has the answer name what is read."""
    for ratio, accepted in ((None, "identity"), (100, "gzip, identity")):
        with pytest.raises(Problem) as refused:
            unpack(gzip.compress(b"{}"), coding, BODY_LIMIT, ratio)
        assert refused.value.code == "unsupported_encoding"
        assert refused.value.headers == {"Accept-Encoding": accepted}


def test_gzip_is_refused_unless_the_operator_reads_it():
    """Off by default: code that is not reached cannot be attacked."""
    assert unpacking(gzip.compress(b"{}"), ratio=None) == "unsupported_encoding"


WHOLE = gzip.compress(b'{"instances": [[1, 2, 3]]}')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        WHOLE[:-1],
        WHOLE[:10],
        WHOLE + b"x",
        WHOLE + WHOLE,
        WHOLE + b"\0" * 512,
        zlib.compress(b"{}"),
        zlib.compress(b"{}")[2:-4],
        WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:],
        WHOLE[:-4] + b"\0\0\0\0",
        b"\x1f\x8b\x09" + WHOLE[3:],
    ],
    ids=["nothing", "plain", "cut", "header", "garbage", "member", "zeros", "zlib", "raw", "crc",
         "size", "method"],
)  # fmt: skip
def test_attack_what_is_not_exactly_one_whole_member_is_refused(body):
    """Two readers could otherwise see two bodies."""
    assert unpacking(body) == "malformed_encoding"


def test_the_last_byte_inside_the_limit_unpacks_and_one_more_does_not():
    """The limit counts what comes out."""
    noise = random.Random(7).randbytes(5000)

    assert unpacking(gzip.compress(noise), limit=5000) == noise
    assert unpacking(gzip.compress(noise), limit=4999) == "body_too_large"


def test_the_last_byte_inside_the_ratio_unpacks_and_one_more_does_not():
    """Beyond 64 KiB; below, equal rows pack so well without being a bomb."""
    body = gzip.compress(b"[" + b"0," * 50_000 + b"0]")
    ratio = -(-100_003 // len(body))

    assert len(unpacking(body, ratio=ratio)) == 100_003
    assert unpacking(body, ratio=ratio - 1) == "body_expands"
    small = gzip.compress(b" " * 65_536)
    assert len(unpacking(small, ratio=1)) == 65_536


@pytest.mark.parametrize(
    ("size", "code"),
    [(10 * BODY_LIMIT, "body_expands"), (200 * BODY_LIMIT, "body_too_large")],
)
def test_attack_a_bomb_is_never_unpacked(size, code):
    """What it would have become is never made: memory stays at the limit."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * BODY_LIMIT) for _ in range(size // BODY_LIMIT))
    bomb += packer.flush()
    tracemalloc.start()
    try:
        assert unpacking(bomb) == code
        assert tracemalloc.get_traced_memory()[1] < 3 * BODY_LIMIT
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=400), st.integers(0, 9), st.integers(0, 500), st.binary(max_size=20))
def test_attack_whatever_is_done_to_a_packed_body_it_unpacks_whole_or_is_refused(
    body, level, place, patch
):
    """Never half a body, never anything but a Problem."""
    packed = bytearray(gzip.compress(body, level))
    packed[place : place + len(patch)] = patch
    found = unpacking(bytes(packed), limit=300)

    if isinstance(found, bytes):
        assert len(found) <= 300
        assert zlib.decompress(bytes(packed), 31) == found
    else:
        assert found in {"malformed_encoding", "body_too_large", "body_expands"}
