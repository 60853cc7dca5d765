from __future__ import annotations

import io

import numpy as np
import pytest

from secureml.models.artifact import ModelRefused
from secureml.models.numpy_parts import SUBSTITUTES, ArrayOnDisk, check_dtype_state

make_dtype = SUBSTITUTES["numpy.dtype"]
make_array = SUBSTITUTES["numpy._core.multiarray._reconstruct"]
make_masked = SUBSTITUTES["numpy.ma.core._mareconstruct"]
array_kind = SUBSTITUTES["numpy.ndarray"]

HONEST = [
    "f8",
    "<f4",
    ">i8",
    "?",
    "O",
    "U7",
    "S3",
    "i1",
    np.dtype([("a", "f8"), ("b", "i4")]),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([("outer", [("inner", "f4")]), ("text", "U2")]),
]


def wrapper(**facts):
    made = ArrayOnDisk()
    vars(made).update(
        {"subclass": array_kind, "shape": (2,), "order": "C", "dtype": np.dtype("f8"), **facts}
    )
    return made


@pytest.mark.parametrize("dtype", HONEST, ids=str)
def test_every_dtype_numpy_writes_is_accepted(dtype):
    _, arguments, state = np.dtype(dtype).__reduce__()
    made = make_dtype(*arguments)
    check_dtype_state(made, state)
    made.__setstate__(state)

    assert made == np.dtype(dtype)
    assert made.hasobject == np.dtype(dtype).hasobject


@pytest.mark.parametrize(
    "state",
    [
        (3, "|", None, None, None, -1, -1, 0),
        (3, "|", None, None, None, 16, 8, 63),
        (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0),
        (3, "|", (np.dtype("f8"), (2,)), None, None, 16, 8, 0),
        None,
        (),
        (3,),
        "text",
        (3, "|", None, ("a",), {}, 8, 1, 0),
        ({},) * 8,
    ],
)
def test_a_dtype_that_lies_about_holding_objects_is_refused(state):
    """Flags that deny the pointers would let raw bytes pass for Python objects."""
    with pytest.raises(ModelRefused):
        check_dtype_state(np.dtype("O"), state)


def test_fields_outside_the_item_are_refused():
    state = (3, "|", None, ("a",), {"a": (np.dtype("f8"), 100)}, 8, 1, 16)
    with pytest.raises(ModelRefused):
        check_dtype_state(np.dtype("V8"), state)


def test_objects_inside_a_structure_are_refused():
    _, arguments, state = np.dtype([("a", "O")]).__reduce__()
    with pytest.raises(ModelRefused):
        check_dtype_state(make_dtype(*arguments), state)


@pytest.mark.parametrize(
    "kind",
    [
        "f8,O",
        {"names": ["a"], "formats": ["O"]},
        ("i8", {"a": ("O", 0)}),
        object,
        None,
        "",
        "f8\n",
        "(2,)f8",
        [("a", "O")],
    ],
)
def test_a_dtype_is_made_from_one_plain_code_only(kind):
    with pytest.raises(ModelRefused):
        make_dtype(kind, False, True)


def test_numpys_own_dtypes_cannot_be_reached_to_be_changed():
    assert make_dtype("f8", False, False) is not np.dtype("f8")


@pytest.mark.parametrize(
    "arguments",
    [
        (np.ndarray, (0,), b"b"),
        (array_kind, (10**12,), b"b"),
        (array_kind, (0,), b"O"),
        (array_kind, "no", b"b"),
        (str, (0,), b"b"),
    ],
)
def test_an_array_is_started_empty_as_numpy_does_and_no_other_way(arguments):
    with pytest.raises(ModelRefused):
        make_array(*arguments)


def test_a_masked_array_is_of_that_very_class():
    assert make_masked(np.ma.MaskedArray, array_kind, (0,), "b").shape == (0,)
    with pytest.raises(ModelRefused):
        make_masked(np.ndarray, array_kind, (0,), "b")


def test_the_array_class_cannot_be_called():
    with pytest.raises(ModelRefused):
        array_kind((1,), "O", b"AAAAAAAA")


@pytest.mark.parametrize(
    "facts",
    [
        {"shape": (-1,)},
        {"shape": (2.0,)},
        {"shape": [2]},
        {"shape": (True,)},
        {"shape": 2},
        {"subclass": np.ndarray},
        {"subclass": np.matrix},
        {"dtype": "f8"},
        {"dtype": object},
    ],
)
def test_a_wrapper_that_joblib_would_not_write_is_refused(facts):
    with pytest.raises(ModelRefused):
        wrapper(**facts).holds_objects()


@pytest.mark.parametrize("shape", [(3,), (2**62,), (2**40, 2**40), (10**30,)])
def test_more_elements_than_bytes_are_refused_before_anything_is_allocated(shape):
    with pytest.raises(ModelRefused, match="claims more"):
        wrapper(shape=shape).take(io.BytesIO(bytes(16)), 16)


def test_elements_of_no_size_cannot_be_uncountable():
    with pytest.raises(ModelRefused, match="claims more"):
        wrapper(shape=(10**15,), dtype=np.dtype("V0")).take(io.BytesIO(b""), 0)


def test_padding_is_skipped_and_foreign_byte_order_turned():
    data = io.BytesIO(b"\x03xxx" + np.array([1.5, 2.5], ">f8").tobytes())
    array = wrapper(dtype=np.dtype(">f8"), numpy_array_alignment_bytes=16).take(data, 20)

    assert array.tolist() == [1.5, 2.5]
    assert array.dtype.isnative
