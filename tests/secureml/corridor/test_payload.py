"""One strict reading of JSON: what passes, what does not, and why."""

from __future__ import annotations

import gzip
import json
import os
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.corridor.payload import Limits, read_json, unpack
from secureml.corridor.problems import Problem

LIMITS = Limits()


def code_of(body: bytes, limits: Limits = LIMITS) -> str:
    """Return the code a body is refused with, or "" when it is accepted."""
    try:
        read_json(body, limits)
    except Problem as problem:
        return problem.code
    return ""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": 01}', "malformed_json"),
        (b'{"a": "\n"}', "malformed_json"),
        (b'\xef\xbb\xbf{"a": 1}', "malformed_json"),
        ('{"a": "é"}'.encode("latin-1"), "malformed_json"),
        ('{"a": 1}'.encode("utf-16"), "malformed_json"),
        (b'{"a": "\\ud800"}', "malformed_json"),
        (b'{"a": 1} {"b": 2}', "malformed_json"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "duplicate_key"),
        (b'{"a": NaN}', "not_a_number"),
        (b'{"a": Infinity}', "not_a_number"),
        (b'{"a": -Infinity}', "not_a_number"),
        (b'{"a": 1e999}', "not_a_number"),
        (b'{"a": -1E+999}', "not_a_number"),
        (b'{"a": 1e0999}', "not_a_number"),
        (b'{"a": ' + b"9" * 400 + b"}", "not_a_number"),
        (b'{"a": ' + b"9" * 400 + b".5}", "not_a_number"),
        (b'{"a": ' + b"9" * 290 + b"e99}", "not_a_number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not_a_number"),
        (b"[" * 100_000, "json_too_deep"),
        (b"[" * 9 + b"]" * 9, "json_too_deep"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "json_too_deep"),
        (b'[{"a":' * 5 + b"1" + b"}]" * 5, "json_too_deep"),
        (json.dumps({"a": "x" * 4097}).encode(), "json_too_large"),
        (json.dumps({"k" * 4097: 1}).encode(), "json_too_large"),
        (json.dumps({str(n): n for n in range(1001)}).encode(), "json_too_large"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_own_code(body, code):
    """Each fault has a stable public code."""
    assert code_of(body) == code


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1e308}',
        b'{"a": 1e-999}',
        b'{"a": -0.0}',
        b"[" * 8 + b"]" * 8,
        b'[{"a":' * 4 + b"1" + b"}]" * 4,
        b'{"a": "[[[[[[[[[[[[[[["}',
        b'{"a": "\\"[[[[[[[[[["}',
        b'{"a": "\\\\", "b": "]]]]]"}',
        '{"ä": "\U0001f600"}'.encode(),
        b'{"a": "\\ud83d\\ude00"}',
        json.dumps({"a": "x" * 4096}).encode(),
        json.dumps({str(n): n for n in range(1000)}).encode(),
    ],
)
def test_the_last_value_inside_each_limit_is_accepted(body):
    """One below the limit passes; brackets inside strings do not nest."""
    assert read_json(body, LIMITS) == json.loads(body)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def depth_of(value) -> int:
    """Count levels of arrays and objects."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(json_values)
def test_every_json_value_comes_back_as_python_reads_it_or_is_too_deep(value):
    """The C-speed depth count agrees with walking the value."""
    body = json.dumps(value).encode()

    if depth_of(value) > LIMITS.depth:
        assert code_of(body) == "json_too_deep"
    else:
        assert read_json(body, LIMITS) == value


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_problem(body):
    """Whatever arrives, the worker lives."""
    assert code_of(body) in {
        "",
        "malformed_json",
        "duplicate_key",
        "not_a_number",
        "json_too_deep",
        "json_too_large",
    }


@given(st.text(alphabet='[]{}",:0123456789eE+-.\\ untrfalsNI', max_size=60))
def test_no_near_json_text_raises_anything_but_a_problem(text):
    """The same for text close to JSON."""
    code_of(text.encode())


CORPUS = Path(os.environ.get("SECUREML_JSON_CORPUS", "../shared/data/json_parsing/test_parsing"))
needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no JSON corpus: point SECUREML_JSON_CORPUS at its test_parsing"
)


@needs_corpus
def test_the_corpus_of_broken_json_is_refused_and_of_sound_json_accepted():
    """n_ files must be refused; y_ files accepted, save for two rules stricter than RFC 8259."""
    stricter = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
    wrong = [
        path.name
        for path in sorted(CORPUS.glob("[ny]_*.json"))
        if bool(code_of(path.read_bytes(), Limits(depth=512)))
        is (path.name.startswith("y_") and path.name not in stricter)
    ]

    assert wrong == []


PACKED = Limits(gzip=True)
BODY_LIMIT = 1024 * 1024


def unpacking(body: bytes, coding: str = "gzip", limits: Limits = PACKED, limit: int = BODY_LIMIT):
    """Return the code an encoded body is refused with, or what it unpacks to."""
    try:
        return unpack(body, coding, limit, limits)
    except Problem as problem:
        return problem.code


@pytest.mark.parametrize("coding", ["gzip", "GZip", " x-gzip "])
def test_a_packed_body_is_what_was_packed(coding):
    """Where the operator reads gzip at all; x-gzip is the same word (RFC 9110, 8.4.1.3)."""
    assert unpacking(gzip.compress(b'{"a": 1}'), coding) == b'{"a": 1}'


@pytest.mark.parametrize("coding", ["identity", "Identity"])
@pytest.mark.parametrize("limits", [LIMITS, PACKED])
def test_identity_is_no_coding(coding, limits):
    """The body stays the bytes it is."""
    assert unpacking(b"abc", coding, limits) == b"abc"


@pytest.mark.parametrize(
    "coding",
    ["gzip, gzip", "identity, gzip", "gzip,", "deflate", "br", "zstd", "compress", "", "gzip;q=1"],
)
def test_attack_several_codings_and_unknown_ones_are_refused_with_those_that_are_read(coding):
    """Two layers are how a bomb hides; RFC 9110, 12.5.3 has the answer name what is read."""
    for limits, accepted in ((LIMITS, "identity"), (PACKED, "gzip, identity")):
        with pytest.raises(Problem) as refused:
            unpack(gzip.compress(b"{}"), coding, BODY_LIMIT, limits)
        assert refused.value.code == "unsupported_media_type"
        assert refused.value.headers == {"Accept-Encoding": accepted}


def test_gzip_is_refused_unless_the_operator_reads_it():
    """Off by default: code that is not reached cannot be attacked."""
    assert unpacking(gzip.compress(b"{}"), limits=LIMITS) == "unsupported_media_type"


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

    assert len(unpacking(body, limits=Limits(gzip=True, gzip_ratio=ratio))) == 100_003
    assert unpacking(body, limits=Limits(gzip=True, gzip_ratio=ratio - 1)) == "body_expands"
    small = gzip.compress(b" " * 65_536)
    assert len(unpacking(small, limits=Limits(gzip=True, gzip_ratio=1))) == 65_536


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
