"""What a tensor holds, from JSON and from bytes: all of it, or nothing."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.open_inference.datatypes import DATATYPES
from plugins.open_inference.elements import from_bytes, from_json, to_bytes
from plugins.open_inference.refusal import TensorsRefused

PATH = "/inputs/0/data"


def json_of(data, shape, name="FP64"):
    return from_json(data, shape, DATATYPES[name], PATH)


def bytes_of(data, shape, name="FP64", limit=100):
    return from_bytes(memoryview(data), shape, DATATYPES[name], PATH, limit)


def text(*parts):
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def test_flat_and_nested_are_the_same():
    assert json_of([1, 2.5, 3, 4], (2, 2)) == json_of([[1, 2.5], [3, 4]], (2, 2))
    assert json_of([1, 2], (2,)) == json_of([[1], [2]], (2, 1)) == json_of([1, 2], (2, 1))


@pytest.mark.parametrize(
    ("data", "shape", "rule"),
    [
        ([1], (2,), "element_count"),
        ([1, 2, 3], (2,), "element_count"),
        ([], (1,), "element_count"),
        ([1], (10**9,), "element_count"),
        ([1], (10**9, 10**9), "element_count"),
        ([[1, 2], [3]], (2, 2), "element_count"),
        ([[1, 2], 3], (2, 2), "element_count"),
        ([[1, 2]], (2, 2), "element_count"),
        ([[1, 2], [3, 4], [5, 6]], (2, 2), "element_count"),
        ([1, [2], 3, 4], (2, 2), "type"),
        ([[1]], (1,), "type"),
        ([[[1]]], (1, 1), "type"),
        ("12", (2,), "type"),
        ({"0": 1}, (1,), "type"),
        (None, (1,), "type"),
        ([True], (1,), "type"),
        (["1"], (1,), "type"),
    ],
)
def test_data_that_is_not_what_its_shape_says_is_refused(data, shape, rule):
    with pytest.raises(TensorsRefused) as wrong:
        json_of(data, shape)
    assert {one for _, one in wrong.value.faults} == {rule}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INT64", 1.0), ("INT64", True), ("INT32", 0.5), ("BOOL", 1), ("BOOL", "true"),
        ("BYTES", 1), ("FP64", False), ("FP32", "1"),
    ],
)  # fmt: skip
def test_a_value_of_another_datatype_is_refused_where_it_is(name, value):
    good = {"BOOL": True, "BYTES": "a"}.get(name, 1)
    with pytest.raises(TensorsRefused) as wrong:
        json_of([good, value], (2,), name)
    assert wrong.value.faults == [(f"{PATH}/1", "type")]


@pytest.mark.parametrize(
    ("name", "value"),
    [("INT32", 2**31), ("INT32", -(2**31) - 1), ("INT64", 2**63), ("FP32", 1e39), ("FP32", -1e300)],
)
def test_a_number_that_its_datatype_cannot_hold_is_refused(name, value):
    with pytest.raises(TensorsRefused) as wrong:
        json_of([1, value], (2,), name)
    assert wrong.value.faults == [(f"{PATH}/1", "datatype_range")]


def test_null_is_a_missing_value_and_so_is_nan():
    assert json_of([None, 1.5], (2,)) == [None, 1.5]
    assert bytes_of(np.array([np.nan, 1.5]).tobytes(), (2,)) == [None, 1.5]


def test_single_precision_is_what_it_is_in_binary():
    written = np.array([0.1, 3.5], dtype=np.float32)
    assert json_of([0.1, 3.5], (2,), "FP32") == bytes_of(written.tobytes(), (2,), "FP32")
    assert json_of([0.1], (1,), "FP32") == [float(np.float32(0.1))]


@pytest.mark.parametrize("size", [0, 7, 15, 17, 24])
def test_bytes_that_are_not_what_the_shape_says_are_refused(size):
    with pytest.raises(TensorsRefused) as wrong:
        bytes_of(b"\0" * size, (2,))
    assert wrong.value.faults == [(PATH, "element_count")]


def test_a_thousand_million_elements_are_refused_before_any_is_made():
    for name in DATATYPES:
        with pytest.raises(TensorsRefused):
            bytes_of(b"\0" * 64, (10**9,), name)
        with pytest.raises(TensorsRefused):
            bytes_of(b"\0" * 64, (10**9, 10**9), name)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("name", ["FP64", "FP32"])
def test_an_infinity_is_no_number_as_in_json(value, name):
    data = np.array([1.0, value], dtype=DATATYPES[name].binary).tobytes()
    with pytest.raises(TensorsRefused) as wrong:
        bytes_of(data, (2,), name)
    assert wrong.value.code == "not_a_number"


def test_a_truth_value_is_one_or_nothing():
    assert bytes_of(b"\1\0", (2,), "BOOL") == [True, False]
    with pytest.raises(TensorsRefused):
        bytes_of(b"\2", (1,), "BOOL")


def test_texts_are_utf8_whole_and_no_longer_than_a_text_of_json():
    assert bytes_of(text("é".encode(), b""), (2,), "BYTES") == ["é", ""]
    for data, shape, rule in (
        (text(b"\xff"), (1,), "utf8"),
        (text(b"\xed\xa0\x80"), (1,), "utf8"),  # half a surrogate pair
        (text(b"a", b"b"), (1,), "element_count"),
        (text(b"a"), (2,), "element_count"),
        (text(b"abc")[:-1], (1,), "element_count"),
        (text(b"abc") + b"\0", (1,), "element_count"),
        (text(b"abcdefgh") + b"\0\0", (2,), "element_count"),
        (b"\xff\xff\xff\xff", (1,), "element_count"),
    ):
        with pytest.raises(TensorsRefused) as wrong:
            bytes_of(data, shape, "BYTES")
        assert wrong.value.faults[0][1] == rule, data
    with pytest.raises(TensorsRefused) as wrong:
        bytes_of(text(b"a" * 101), (1,), "BYTES")
    assert wrong.value.code == "json_too_large"


@given(st.lists(st.floats(allow_infinity=False), min_size=1))
def test_floats_come_back_from_bytes_to_the_bit(values):
    found = bytes_of(np.array(values).tobytes(), (len(values),))
    assert [np.nan if one is None else one for one in found] == pytest.approx(
        values, rel=0, abs=0, nan_ok=True
    )


@given(st.lists(st.text(), min_size=1), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_what_is_written_is_read_again(texts, numbers):
    assert bytes_of(to_bytes(texts, DATATYPES["BYTES"]), (len(texts),), "BYTES", 10**6) == texts
    written = to_bytes(numbers, DATATYPES["INT64"])
    assert bytes_of(written, (len(numbers),), "INT64") == numbers


@given(st.binary(max_size=60), st.integers(1, 20), st.sampled_from(sorted(DATATYPES)))
def test_no_bytes_end_in_anything_but_elements_or_a_refusal(data, count, name):
    try:
        found = bytes_of(data, (count,), name)
    except TensorsRefused:
        return
    assert len(found) == count


def test_a_withheld_value_is_nan_in_binary():
    written = to_bytes([None, 0.5], DATATYPES["FP64"])
    assert np.isnan(np.frombuffer(written)[0])
