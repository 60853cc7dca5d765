from __future__ import annotations

import io

import numpy as np
import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.numpy_values import SUBSTITUTES, ArrayOnDisk, Draft, filled

make_dtype = SUBSTITUTES["numpy.dtype"]
make_array = SUBSTITUTES["numpy._core.multiarray._reconstruct"]
make_scalar = SUBSTITUTES["numpy._core.multiarray.scalar"]
make_from_buffer = SUBSTITUTES["numpy._core.numeric._frombuffer"]
make_masked = SUBSTITUTES["numpy.ma.core._mareconstruct"]
array_kind = SUBSTITUTES["numpy.ndarray"]
OBJECTS, FLOATS = np.dtype("O"), np.dtype("f8")

HONEST = [
    "f8",
    "<f4",
    ">i8",
    "?",
    "O",
    "U7",
    "S3",
    "i1",
    "u4",
    "c16",
    "V5",
    np.dtype([("a", "f8"), ("b", "i4")]),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([("outer", [("inner", "f4")]), ("text", "U2")]),
]


class Offering:
    """An object that NumPy would read memory from, at an address of its choice."""

    __array_interface__ = {"shape": (1,), "typestr": "<f8", "data": (64, False), "version": 3}


def described(**facts):
    made = ArrayOnDisk()
    made.finish({"subclass": array_kind, "shape": (2,), "order": "C", "dtype": FLOATS, **facts})
    return made


@pytest.mark.parametrize("dtype", HONEST, ids=str)
def test_every_dtype_numpy_writes_is_accepted(dtype):
    _, arguments, state = np.dtype(dtype).__reduce__()
    made = make_dtype(*arguments).finish(state)

    assert made == np.dtype(dtype)
    assert made.__reduce__()[2] == state
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
        (3, Offering(), None, None, None, -1, -1, 63),
        (3, "|", None, (Offering(),), {"a": (FLOATS, 0)}, 8, 1, 0),
    ],
)
def test_a_dtype_that_lies_about_holding_objects_is_refused(state):
    """Flags that deny the pointers would let raw bytes pass for Python objects."""
    with pytest.raises(ModelRefused):
        make_dtype("O8", False, True).finish(state)


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("V8", (3, "|", None, ("a",), {"a": (FLOATS, 100)}, 8, 1, 16)),
        ("V8", (3, "|", None, ("a",), {"a": (FLOATS, 0)}, 1_000_000, 1, 16)),
        ("V4", np.dtype([("a", "f8")]).__reduce__()[2]),
        ("f8", np.dtype([("a", "f8")]).__reduce__()[2]),
    ],
    ids=["fields outside the item", "another size", "another length", "another kind"],
)
def test_fields_must_lie_in_the_item_they_are_of(code, state):
    with pytest.raises(ModelRefused):
        make_dtype(code, False, True).finish(state)


def test_objects_inside_a_structure_are_refused():
    _, arguments, state = np.dtype([("a", "O")]).__reduce__()
    with pytest.raises(ModelRefused):
        make_dtype(*arguments).finish(state)


def test_dtypes_nested_beyond_measure_are_refused():
    dtype = np.dtype([("a", "f8")])
    for _ in range(6):
        dtype = np.dtype([("a", dtype)])
    _, arguments, state = dtype.__reduce__()
    with pytest.raises(ModelRefused):
        make_dtype(*arguments).finish(state)


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
        np.str_("f8"),
        "f٤",
        "V9999999999999",
    ],
)
def test_a_dtype_is_made_from_one_plain_code_only(kind):
    with pytest.raises(ModelRefused):
        make_dtype(kind, False, True)


def test_a_draft_is_no_dtype_and_no_array_until_it_is_finished():
    """Whoever used it would find it changed when its state comes."""
    for draft in (make_dtype("f8", False, True), make_array(array_kind, (0,), b"b")):
        assert isinstance(draft, Draft)
        assert not isinstance(draft, (np.dtype, np.ndarray))
        with pytest.raises(ModelRefused):
            described(dtype=draft)
        with pytest.raises(ModelRefused):
            make_scalar(draft, b"12345678")


@pytest.mark.parametrize(
    "arguments",
    [
        (np.ndarray, (0,), b"b"),
        (array_kind, (10**12,), b"b"),
        (array_kind, (0,), b"O"),
        (array_kind, "no", b"b"),
        (str, (0,), b"b"),
        (array_kind, Offering(), b"b"),
    ],
)
def test_an_array_is_started_empty_as_numpy_does_and_no_other_way(arguments):
    with pytest.raises(ModelRefused):
        make_array(*arguments)


def test_a_masked_array_is_of_that_very_class():
    state = np.ma.array([1.5, 2.5], mask=[0, 1], fill_value=7.0).__reduce__()[2]
    made = make_masked(np.ma.MaskedArray, array_kind, (0,), "b").finish(state)

    assert made.tolist() == [1.5, None]
    assert made.fill_value == 7.0
    with pytest.raises(ModelRefused):
        make_masked(np.ndarray, array_kind, (0,), "b")


@pytest.mark.parametrize("fill", [Offering(), [1], np.array([1.0]), np.array(1)])
def test_a_fill_value_is_one_number_of_the_same_kind(fill):
    *state, _ = np.ma.array([1.5], mask=[0]).__reduce__()[2]
    with pytest.raises(ModelRefused):
        make_masked(np.ma.MaskedArray, array_kind, (0,), "b").finish((*state, fill))


def test_the_array_class_cannot_be_called():
    with pytest.raises(ModelRefused):
        array_kind((1,), "O", b"AAAAAAAA")


@pytest.mark.parametrize("raw", [Offering(), bytearray(9), b"", memoryview(b"12345678"), [1.0]])
def test_raw_bytes_are_bytes_and_exactly_as_many_as_the_shape_says(raw):
    """An object that offers a buffer or an interface would be read at its own address."""
    for attempt in (
        lambda: make_from_buffer(raw, FLOATS, (1,), "C"),
        lambda: filled((1,), FLOATS, raw),
        lambda: make_array(array_kind, (0,), b"b").finish((1, (1,), FLOATS, False, raw)),
        lambda: make_scalar(FLOATS, raw),
    ):
        with pytest.raises(ModelRefused):
            attempt()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3),
        np.array([(1, 2.0)], dtype=[("a", "i8"), ("b", "f8")]),
        np.zeros((0, 3)),
    ],
    ids=["axes in another order", "by columns", "plain", "fields", "empty"],
)
def test_a_buffer_comes_back_as_numpy_reads_it(array):
    function, (raw, *rest) = array.__reduce_ex__(5)
    assert function.__name__ == "_frombuffer"
    made = make_from_buffer(bytearray(memoryview(raw).cast("B") if array.size else b""), *rest)

    np.testing.assert_array_equal(made, array)
    assert made.dtype == array.dtype


def test_items_of_an_object_array_stay_what_they_are():
    items = [[1], np.arange(2), (3,), None, Offering()]
    made = filled((5,), OBJECTS, items)

    assert all(kept is given for kept, given in zip(made, items, strict=True))


def test_an_object_array_holds_as_many_items_as_it_says():
    for raw in ([1], (1, 2), b"AAAAAAAAAAAAAAAA"):
        with pytest.raises(ModelRefused):
            filled((2,), OBJECTS, raw)


def test_objects_never_come_from_bytes():
    for attempt in (
        lambda: make_from_buffer(bytearray(8), OBJECTS, (1,), "C"),
        lambda: make_scalar(OBJECTS, b"AAAAAAAA"),
        lambda: make_scalar(np.dtype([("a", "i8")]), b"AAAAAAAA"),
    ):
        with pytest.raises(ModelRefused):
            attempt()


@pytest.mark.parametrize(
    "facts",
    [
        {"subclass": np.ndarray},
        {"subclass": np.matrix},
        {"shape": (-1,)},
        {"shape": (2.0,)},
        {"shape": [2]},
        {"shape": 2},
        {"shape": (True,)},
        {"dtype": object},
        {"shape": (1,) * 65},
        {"dtype": "O"},
        {"order": Offering()},
        {"numpy_array_alignment_bytes": 1.5},
        {"surprise": 1},
    ],
)
def test_an_array_on_disk_is_described_as_joblib_describes_it(facts):
    with pytest.raises(ModelRefused):
        described(**facts)


@pytest.mark.parametrize("shape", [(3,), (2**62,), (2**40, 2**40), (10**30,)])
def test_more_elements_than_bytes_are_refused_before_anything_is_allocated(shape):
    with pytest.raises(ModelRefused, match=r"claims more|as NumPy would not write it"):
        described(shape=shape).take(io.BytesIO(bytes(16)), 16)


def test_elements_of_no_size_cannot_be_uncountable():
    with pytest.raises(ModelRefused, match="claims more"):
        described(shape=(10**15,), dtype=np.dtype("V0")).take(io.BytesIO(b""), 0)


def test_padding_is_skipped_and_foreign_byte_order_turned():
    data = io.BytesIO(b"\x03xxx" + np.array([1.5, 2.5], ">f8").tobytes())
    array = described(dtype=np.dtype(">f8"), numpy_array_alignment_bytes=16).take(data, 20)

    assert array.tolist() == [1.5, 2.5]
    assert array.dtype.isnative


def test_items_of_no_bytes_are_bounded_too():
    with pytest.raises(ModelRefused):
        filled((10**9,), np.dtype("S0"), b"")
