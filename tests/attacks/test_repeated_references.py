"""Attack: what is small in the file, and met a thousand times a thousand times."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.tree import DecisionTreeRegressor

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling import memory_budget
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.numpy_values import count_of
from secureml.models.unpickling.reader import load_estimator

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


def remembered(number: int) -> bytes:
    return b"r" + struct.pack("<I", number)


def recalled(number: int) -> bytes:
    return b"j" + struct.pack("<I", number)


def nested_tuples(width: int, levels: int) -> bytes:
    """Return what leaves on the stack a tuple that holds one of the level below, many times."""
    made = b"K\x01\x85" + remembered(0) + b"0"
    for level in range(levels):
        made += b"(" + recalled(level) * width + b"t" + remembered(level + 1) + b"0"
    return made + recalled(levels)


def nested_dtypes(width: int, levels: int) -> bytes:
    """Return what leaves on the stack a dtype whose fields are all of one dtype, and so on."""
    made = b"cnumpy\ndtype\n" + remembered(0) + b"X\x02\x00\x00\x00i1\x89\x88\x87R"
    state = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made += b"(K\x03X\x01\x00\x00\x00|NNN" + state + remembered(1) + b"0"
    for name in range(width):
        made += long_text(f"f{name}") + remembered(1000 + name) + b"0"
    names = b"(" + b"".join(recalled(1000 + name) for name in range(width)) + b"t"
    for level in range(1, levels + 1):
        field = recalled(level) + b"K\x00\x86" + remembered(100 + level) + b"0"
        fields = b"".join(recalled(1000 + name) + recalled(100 + level) for name in range(width))
        made += field + recalled(0) + b"X\x02\x00\x00\x00V1\x89\x88\x87R"
        made += b"(K\x03X\x01\x00\x00\x00|N" + names + b"}(" + fields + b"uK\x01K\x01K\x10tb"
        made += remembered(level + 1) + b"0"
    return made + recalled(levels + 1)


KEYS = nested_tuples(1000, 3)
WAYS = {
    "one item of a dict": b"}" + KEYS + b"Ns.",
    "items of a dict": b"}(" + KEYS + b"Nu.",
    "a dict at once": b"(" + KEYS + b"Nd.",
    "items of a set": b"\x8f(" + KEYS + b"\x90.",
    "a frozen set": b"(" + KEYS + b"\x91.",
    "a set of a list": b"cbuiltins\nset\n](" + KEYS + b"e\x85R.",
    "a frozen set of a list": b"cbuiltins\nfrozenset\n](" + KEYS + b"e\x85R.",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_key_of_nested_tuples_is_counted_before_it_is_looked_at(way):
    said, most = grown(b"\x80\x04" + WAYS[way])

    assert "far more memory" in said
    assert most < BASE * 1.5


def test_keys_of_nested_tuples_are_counted_again_each_time():
    """Each is small enough; that there are so many is what takes the time."""
    key = nested_tuples(100, 2)
    said, _ = grown(b"\x80\x04}" + (key + b"Ns") + (recalled(2) + b"Ns") * 100 + b".")

    assert "far more memory" in said


def test_a_key_as_models_have_them_is_taken():
    made = load_estimator(b"\x80\x04}" + nested_tuples(3, 2) + b"Ns.", builtin_names())

    assert made == {(((1,),) * 3,) * 3: None}


@pytest.mark.parametrize(("width", "levels"), [(2000, 3), (80, 3), (65, 2), (4097, 1)])
def test_fields_inside_fields_are_bounded_in_number(width, levels):
    said, _ = grown(b"\x80\x04" + nested_dtypes(width, levels) + b".")

    assert "a dtype as NumPy would not write it" in said or "far more memory" in said


def test_many_dtypes_of_many_fields_are_counted():
    one = nested_dtypes(500, 1)
    said, most = grown(b"\x80\x04" + one * 100 + b".")

    assert "far more memory" in said
    assert most < BASE * 2 + 3 * 100 * len(one)


@pytest.mark.parametrize(("width", "levels"), [(3, 3), (60, 2), (500, 1)])
def test_fields_as_models_have_them_are_taken(monkeypatch, width, levels):
    monkeypatch.undo()
    made = load_estimator(b"\x80\x04" + nested_dtypes(width, levels) + b".", builtin_names())

    assert len(made.names) == width


SAME_HASH = {
    "numbers beyond a word": b"\x8a\x09" + (2**64).to_bytes(9, "little", signed=True),
    "numbers below a word": b"\x8a\x09" + (-(2**64)).to_bytes(9, "little", signed=True),
    "complex numbers": b"cbuiltins\ncomplex\nG" + bytes(8) + b"G" + bytes(8) + b"\x86R",
}


@pytest.mark.parametrize("kind", SAME_HASH)
@pytest.mark.parametrize("inside", [b"", b"\x85"])
def test_keys_of_which_many_have_one_hash_are_refused(kind, inside):
    data = b"\x80\x04}" + SAME_HASH[kind] + inside + b"Ns."
    with pytest.raises(ModelRefused, match="as a key"):
        load_estimator(data, builtin_names())


COPIES = {
    "bytes": b"cbuiltins\nbytearray\nq\x01B" + struct.pack("<I", MIB) + bytes(MIB) + b"\x85q\x02",
    "sets": b"cbuiltins\nset\nq\x01](" + b"K\x01" * 10_000 + b"e\x85q\x02",
}


@pytest.mark.parametrize("kind", COPIES)
def test_what_is_copied_by_each_call_is_counted_by_each_call(kind):
    said, most = grown(b"\x80\x04" + COPIES[kind] + b"h\x01h\x02R" * 100 + b".")

    assert "far more memory" in said
    assert most < BASE * 1.5 + 3 * len(COPIES[kind])


class Same:
    """Written as a compiled tree; all of them with one state, which the file holds once."""

    def __init__(self, written: tuple[Any, ...]) -> None:
        self.written = written

    def __reduce__(self) -> tuple[Any, ...]:
        return self.written


def test_trees_that_copy_the_arrays_of_one_state_are_counted_by_each_copy():
    rows = np.random.default_rng(0).normal(size=(4000, 2))
    tree = DecisionTreeRegressor(random_state=0).fit(rows, rows[:, 0]).tree_
    kind, arguments, state = tree.__reduce__()
    data = pickle.dumps([Same((kind, arguments, state)) for _ in range(100)], protocol=4)
    said, _ = grown(data)

    assert len(data) < MIB
    assert "far more memory" in said


def test_state_that_many_objects_are_given_is_counted_for_each():
    keys = b"".join(long_text(f"a{number}") + b"N" for number in range(1000))
    version = long_text("_sklearn_version") + long_text(sklearn.__version__)
    state = b"}(" + version + keys + b"uq\x02"
    said, _ = grown(b"\x80\x04" + PIPELINE + state + b"h\x01)\x81h\x02b" * 200 + b".")

    assert "far more memory" in said


def test_lengths_that_no_array_has_are_not_even_multiplied():
    large = b"\x8b" + struct.pack("<i", MIB) + b"\x7f" * MIB
    shape = large + b"q\x01(" + b"h\x01" * 60 + b"t"
    data = b"\x80\x05cnumpy._core.numeric\n_frombuffer\n(C\x00cnumpy\ndtype\n"
    data += b"X\x02\x00\x00\x00i1\x89\x88\x87RNX\x01\x00\x00\x00CtR."
    with pytest.raises(ModelRefused, match="builds an array"):
        count_of((2**63,))
    with pytest.raises(ModelRefused):
        load_estimator(data.replace(b"RNX", b"R" + shape + b"X"), builtin_names())
