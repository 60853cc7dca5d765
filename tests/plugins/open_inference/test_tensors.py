"""Inputs that say one thing and hold another are refused, each by its place."""

from __future__ import annotations

import struct

import pytest

from plugins.open_inference.refusal import TensorsRefused
from plugins.open_inference.tensors import read_tensors


def tensor(**changes):
    made = {"name": "a", "shape": [2], "datatype": "FP64", "data": [1, 2], **changes}
    return {key: value for key, value in made.items() if value is not ...}


def faults(*inputs, rest=b""):
    with pytest.raises(TensorsRefused) as wrong:
        read_tensors(list(inputs), rest, 100)
    return wrong.value.faults


def binary(size, **changes):
    return tensor(data=..., parameters={"binary_data_size": size}, **changes)


def test_tensors_are_read_in_their_order_from_json_and_from_bytes():
    rest = struct.pack("<2d", 1.5, 2.5) + b"\1\0"
    found = read_tensors(
        [binary(16), tensor(name="b"), binary(2, name="c", datatype="BOOL", shape=[2, 1])],
        rest,
        100,
    )
    assert [(one.name, one.values) for one in found] == [
        ("a", [1.5, 2.5]), ("b", [1, 2]), ("c", [True, False]),
    ]  # fmt: skip
    assert found[2].shape == (2, 1)


@pytest.mark.parametrize(
    "shape",
    [
        [], [-1], [-2], [2, -1], [-1, -2], [1.0], [2.0], [True], ["2"], [None], [[2]], [1, 1, 2],
        2, "2", None, {"0": 2}, [2**63], [2**32, 2**32], [10**30],
    ],
)  # fmt: skip
def test_a_shape_that_is_none_is_refused(shape):
    assert faults(tensor(shape=shape)) == [("/inputs/0/shape", "shape")]
    assert faults(binary(16, shape=shape), rest=b"\0" * 16) == [("/inputs/0/shape", "shape")]


@pytest.mark.parametrize("shape", [[0], [0, 2], [2, 0]])
def test_a_tensor_of_nothing_is_refused(shape):
    assert faults(tensor(shape=shape, data=[])) == [("/inputs/0/shape", "empty")]


@pytest.mark.parametrize(
    ("wrong", "path", "rule"),
    [
        (tensor(name=...), "/name", "required"),
        (tensor(shape=...), "/shape", "required"),
        (tensor(datatype=...), "/datatype", "required"),
        (tensor(data=...), "/data", "required"),
        (tensor(name=""), "/name", "type"),
        (tensor(name=1), "/name", "type"),
        (tensor(name=None), "/name", "type"),
        (tensor(extra=1), "", "unknown_key"),
        (tensor(datatype="FP16"), "/datatype", "datatype"),
        (tensor(datatype="fp64"), "/datatype", "datatype"),
        (tensor(datatype="UINT8"), "/datatype", "datatype"),
        (tensor(datatype=64), "/datatype", "datatype"),
        (tensor(datatype=["FP64"]), "/datatype", "datatype"),
        (tensor(parameters=[]), "/parameters", "type"),
        (tensor(parameters=None), "/parameters", "type"),
        (tensor(parameters={"shared_memory_region": "x"}), "/parameters", "unknown_parameter"),
        (tensor(parameters={"content_type": "base64"}), "/parameters/content_type", "content_type"),
        (tensor(parameters={"content_type": ["np"]}), "/parameters/content_type", "content_type"),
        (tensor(parameters={"binary_data_size": 16}), "/data", "twice"),
        (binary(-1), "/parameters/binary_data_size", "type"),
        (binary(16.0), "/parameters/binary_data_size", "type"),
        (binary(True), "/parameters/binary_data_size", "type"),
        (binary("16"), "/parameters/binary_data_size", "type"),
        (binary(None), "/parameters/binary_data_size", "type"),
        ([], "", "type"),
        ("a", "", "type"),
        (None, "", "type"),
    ],
)
def test_an_input_that_is_none_is_refused(wrong, path, rule):
    assert faults(tensor(name="first"), wrong) == [(f"/inputs/1{path}", rule)]


@pytest.mark.parametrize("inputs", [None, {}, "x", 1, {"0": {}}])
def test_inputs_that_are_no_list_are_refused(inputs):
    with pytest.raises(TensorsRefused) as wrong:
        read_tensors(inputs, b"", 100)
    assert wrong.value.faults == [("/inputs", "type")]


def test_no_inputs_are_empty():
    assert faults() == [("/inputs", "empty")]


@pytest.mark.parametrize(
    ("sizes", "length"), [((16,), 15), ((16,), 17), ((16,), 0), ((16, 16), 16), ((10**18,), 16)]
)
def test_sizes_that_do_not_add_up_to_what_follows_are_refused(sizes, length):
    inputs = [binary(size, name=f"t{n}") for n, size in enumerate(sizes)]
    assert faults(*inputs, rest=b"\0" * length) == [("/inputs", "binary_data_size")]


def test_bytes_behind_json_that_no_tensor_names_are_refused():
    assert faults(tensor(), rest=b"\0") == [("/inputs", "binary_data_size")]


def test_a_size_that_takes_from_the_next_tensor_is_refused():
    inputs = [binary(8), binary(24, name="b")]
    assert faults(*inputs, rest=b"\0" * 32) == [("/inputs/0/data", "element_count")]


def test_a_name_that_is_given_twice_is_refused():
    assert faults(tensor(), tensor(name="b"), tensor()) == [("/inputs/2/name", "duplicate")]


def test_twenty_places_are_named_and_the_rest_is_not_looked_at():
    assert len(faults(*[tensor(shape=[-1], name=f"t{n}") for n in range(1000)])) == 20
