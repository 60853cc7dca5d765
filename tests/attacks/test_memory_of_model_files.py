"""Attack: a small model file that takes all the memory of whoever seals it.

Each stream makes as much as it can of as few bytes as it can. The bound is made small for the
test, and Python's own account of its memory is the witness.
"""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling import decompression, memory_budget
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.reader import load_estimator
from secureml.models.unpickling.requested_names import requested

MIB = 1024**2
BASE = 4 * MIB
BITS = (
    b"cnumpy.random._pickle\n__bit_generator_ctor\nq\x01cnumpy.random._mt19937\nMT19937\n\x85q\x02"
)
PIPELINE = b"csklearn.pipeline\nPipeline\nq\x01"
EMOJI = "a" * 60_000 + "\U0001f600"


def long_text(letters: str) -> bytes:
    raw = letters.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


# What is pushed once, and what is repeated.
STREAMS = {
    "empty lists": (b"", b"]"),
    "empty dicts": (b"", b"}"),
    "empty sets": (b"", b"\x8f"),
    "marks": (b"", b"("),
    "frozen sets": (b"", b"(\x91"),
    "what is remembered": (b"N", b"\x94"),
    "remembered by number": (b"", b"Nr" + b"%b"),
    "small numbers": (b"", b"M\xff\xff"),
    "floats": (b"", b"G" + struct.pack(">d", 0.1)),
    "large numbers": (b"", b"\x8a\x09" + b"\x01" * 9),
    "texts": (b"", b"\x8c\x02ab"),
    "texts of four bytes a letter": (b"", long_text(EMOJI)),
    "bytes": (b"", b"C\x03abc"),
    "references": (b"]q\x01", b"h\x01"),
    "instances": (PIPELINE, b"h\x01)\x81"),
    "generators": (BITS, b"h\x01h\x02R"),
    "nested lists": (b"]q\x01", b"]h\x01aq\x01"),
    "tuples": (b"", b"N\x85"),
    "copies on the stack": (b"]", b"2"),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Load what the streams name, and make the bound small enough to be reached at once."""
    load_estimator(b"\x80\x05" + BITS + b"R.", builtin_names())
    load_estimator(b"\x80\x05" + PIPELINE + b")\x81.", builtin_names())
    monkeypatch.setattr(memory_budget, "_BASE", BASE)
    monkeypatch.setattr(memory_budget, "_PER_BYTE", 0)


def grown(data: bytes) -> tuple[str, int]:
    """Return what the refusal says, and the most memory that was taken."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelRefused) as refused:
            load_estimator(data, builtin_names())
        return refused.value.message, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("case", STREAMS)
def test_what_is_made_of_a_stream_stays_within_the_bound(case):
    first, again = STREAMS[case]
    repeats = 2 * BASE // memory_budget.OPCODE_COSTS[0] // max(1, len(again) // 64) + 1
    if b"%b" in again:
        body = b"".join(again.replace(b"%b", struct.pack("<I", n)) for n in range(repeats // 2))
    else:
        body = again * repeats
    said, most = grown(b"\x80\x05" + first + body + b"0N.")

    assert "far more memory" in said
    assert most < BASE * 1.5 + 3 * len(body)


@pytest.mark.parametrize("case", STREAMS)
def test_looking_for_names_takes_no_more_memory_than_reading(case):
    first, again = STREAMS[case]
    body = again.replace(b"%b", bytes(4)) * (4 * BASE // max(len(again), 16))
    tracemalloc.start()
    try:
        found = requested(b"\x80\x05" + first + body + b"0N.", 1000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(found.names) <= 3
    assert most < BASE * 1.5 + 8 * len(body)


def test_a_small_file_that_unpacks_to_much_is_refused_early(monkeypatch):
    monkeypatch.setattr(decompression, "SMALL", MIB)
    packed = zlib.compress(b"\x80\x05" + bytes(64 * MIB))
    said, most = grown(packed)

    assert f"unpacks to more than {decompression.RATIO * len(packed)} bytes" in said
    assert most < 40 * MIB  # one piece is 16 MiB


def test_what_is_unpacked_is_held_once():
    large = b"\x80\x05B" + struct.pack("<I", 32 * MIB) + bytes(32 * MIB) + b"."
    packed = zlib.compress(large)
    tracemalloc.start()
    try:
        assert len(decompression.unpack(packed)) == len(large)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert most < 2 * len(large) + 2 * MIB, "growing may move it once; it was copied as well"


def test_a_larger_file_may_take_more(monkeypatch):
    monkeypatch.undo()

    assert memory_budget.ceiling(100 * MIB) > memory_budget.ceiling(0) + 1024 * MIB


def test_four_mebibytes_come_to_little_more_than_one_gibibyte(monkeypatch):
    monkeypatch.undo()
    packed = 4 * MIB
    unpacked = max(decompression.SMALL, decompression.RATIO * packed)

    assert unpacked + memory_budget.ceiling(packed) < 1.1 * 1024**3


def test_an_array_claims_no_more_than_the_file_holds():
    header = (
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}("
        b"X\x08\x00\x00\x00subclasscnumpy\nndarray\n"
        b"X\x05\x00\x00\x00shape\x8a\x06\x00\x00\x00\x00\x00\x01\x85"
        b"X\x05\x00\x00\x00orderX\x01\x00\x00\x00C"
        b"X\x05\x00\x00\x00dtypecnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R("
        b"K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbub."
    )
    said, most = grown(b"\x80\x05" + header)

    assert "claims more bytes than the file has" in said
    assert most < 4 * MIB


@pytest.mark.parametrize("opcode", [b"\x95", b"\x96", b"\x8e", b"\x8d", b"B", b"X", b"\x8b"])
def test_a_length_beyond_the_file_is_not_allocated(opcode):
    _, most = grown(b"\x80\x05" + opcode + b"\xff\xff\xff\x7f\x00\x00\x00\x00" + b"N.")

    assert most < 4 * MIB
