"""What no writer writes is refused by name, and no form is read with the help of pickle."""

from __future__ import annotations

import _pickle
import io
import json
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import BisectingKMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from secureml.models.data_form.frame import MAGIC, Frame, read_frame, write_frame
from secureml.models.data_form.reader import Limits, read
from secureml.models.data_form.refusals import FormRefused, NotDescribable
from secureml.models.data_form.writer import write
from secureml.models.unpickling.allowlist import builtin_names

ROWS = np.abs(np.random.default_rng(0).normal(size=(60, 3)))
TWO = np.arange(60) % 2
ALLOWED = builtin_names()


def written(value):
    file = io.BytesIO()
    write(value, file, allowed=ALLOWED)
    return file.getvalue()


def form_of(nodes, *blocks):
    file = io.BytesIO()
    write_frame(nodes, [memoryview(block) for block in blocks], file)
    return file.getvalue()


def parts(value):
    frame = read_frame(memoryview(written(value)), header_limit=2**20)
    return frame.nodes, [bytearray(block) for block in frame.blocks]


def back(data):
    return read(data, allowed=ALLOWED)


TREE = DecisionTreeClassifier(random_state=0).fit(ROWS, TWO)
NEIGHBOURS = KNeighborsClassifier(algorithm="kd_tree").fit(ROWS, TWO)
HISTOGRAMS = HistGradientBoostingClassifier(max_iter=2).fit(ROWS, TWO)
STEPS = make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression())


def with_nodes(change, model=TREE, **array):
    """Return a form whose array of tree nodes was changed."""
    nodes, blocks = parts(model)
    node = next(n for n in nodes if n[0] == "array" and type(n[1]) is dict)
    from secureml.models.data_form.dtypes import parsed

    change(np.frombuffer(blocks[node[4]], parsed(node[1])))
    return form_of(nodes, *blocks)


def with_state(model, **state):
    nodes, blocks = parts(model)
    nodes[-1][2].update(state)
    return form_of(nodes, *blocks)


def put(field, place, value):
    def change(nodes):
        nodes[field][place] = value

    return change


def raw(header, tail=b""):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    start = MAGIC + (1).to_bytes(8, "little") + len(text).to_bytes(8, "little")
    return start.ljust(64, b"\0") + text + bytes(-len(text) % 64) + tail


PLAIN = written([1.5, "text"])
SCALER = "sklearn.preprocessing._data.StandardScaler"
HERE = {"_sklearn_version": sklearn.__version__}
EIGHT = np.arange(8.0).tobytes()
HOSTILE = {
    "an empty file": (b"", "the beginning"),
    "a pickle": (pickle.dumps([1]) * 99, "the beginning"),
    "another version": (MAGIC + b"\2" + PLAIN[9:], "version 2"),
    "a header that is too long": (
        MAGIC + (1).to_bytes(8, "little") + (2**62).to_bytes(8, "little") + bytes(64), "longer",
    ),
    "cut in the header": (PLAIN[:80], "too early"),
    "cut in an array": (written(np.arange(99.0))[:-64], "too early"),
    "bytes at the end": (PLAIN + bytes(64), "belong to nothing"),
    "padding that is not zero": (PLAIN[:-1] + b"x", "not zero"),
    "no JSON": (raw(b"{"), "strict JSON"),
    "a name twice": (raw(b'{"blocks":[],"nodes":[],"nodes":[]}'), "strict JSON"),
    "nesting without end": (raw(b"[" * 60_000), "strict JSON"),
    "NaN": (raw(b'{"blocks":[],"nodes":[["list",[[NaN]]]]}'), "strict JSON"),
    "another member": (raw({"blocks": [], "nodes": [], "x": 1}), "exactly"),
    "nodes that are no list": (raw({"blocks": [], "nodes": {}}), "not a list"),
    "a negative length": (raw({"blocks": [-64], "nodes": []}), "lengths"),
    "a length of truth": (raw({"blocks": [True], "nodes": []}), "lengths"),
    "no node": (form_of([]), "0 nodes"),
    "a node that is text": (form_of(["list"]), "not a node"),
    "an unknown kind": (form_of([["reduce", "os.system", []]]), "not a kind"),
    "a part too many": (form_of([["list", [], []]]), "has 1 parts"),
    "a node that holds itself": (form_of([["list", [0]]]), "does not come before"),
    "nodes that hold each other": (form_of([["list", [1]], ["list", [0]]]), "not come before"),
    "a negative reference": (form_of([["list", []], ["list", [-1]]]), "neither a plain value"),
    "a node nothing refers to": (form_of([["list", []], ["list", []]]), "nothing refers"),
    "a block nothing refers to": (form_of([["list", []]], EIGHT), "no array is made"),
    "two arrays over one block": (
        form_of(
            [["array", "<f8", [8], "C", 0], ["array", "<i8", [8], "C", 0], ["list", [0, 1]]], EIGHT
        ), "belongs to another",
    ),
    "a block that is not there": (form_of([["array", "<f8", [8], "C", 1]], EIGHT), "not a block"),
    "a shape that is too large": (
        form_of([["array", "<f8", [2**40, 2**20], "C", 0]], EIGHT), "bytes long",
    ),
    "a negative shape": (form_of([["array", "<f8", [-8], "C", 0]], EIGHT), "not a shape"),
    "items of no bytes": (form_of([["array", "<U0", [2**40], "C", 0]], b""), "no bytes"),
    "rows of no items": (form_of([["array", "<f8", [2**40, 0], "C", 0]], b""), "no items"),
    "an array of pointers": (form_of([["array", "|O", [1], "C", 0]], EIGHT[:8]), "not a dtype"),
    "pointers in a field": (
        form_of(
            [["array", {"names": ["a"], "formats": ["|O"], "offsets": [0], "size": 8,
                        "aligned": False}, [1], "C", 0]], EIGHT[:8],
        ), "not a dtype",
    ),
    "a field past its item": (
        form_of(
            [["array", {"names": ["a"], "formats": ["<f8"], "offsets": [8], "size": 8,
                        "aligned": False}, [1], "C", 0]], EIGHT[:8],
        ), "do not fit",
    ),
    "truth values of seven": (form_of([["array", "|b1", [1], "C", 0]], b"\7"), "neither true"),
    "an order of its own": (form_of([["array", "<f8", [8], "K", 0]], EIGHT), "order of items"),
    "a key twice": (form_of([["dict", ["a", "a"], [None, None]]]), "twice"),
    "a key without a value": (form_of([["dict", ["a"], []]]), "another number"),
    "a list as a key": (form_of([["list", []], ["dict", [0], [None]]]), "as a key"),
    "a type that is not listed": (form_of([["instance", "subprocess.Popen", {}]]), "not allowed"),
    "a function that is not listed": (form_of([["function", "os.system"]]), "not allowed"),
    "a path out of a type": (
        form_of([["function", SCALER + ".__init__.__globals__"]]), "not allowed",
    ),
    "a class of pickles": (form_of([["type", "numpy.ndarray"]]), "stands for nothing"),
    "a bare tree": (form_of([["compiled", "sklearn.tree._tree.Tree", [], None]]), "format"),
    "a bare array": (form_of([["instance", "numpy.ndarray", {}]]), "stands for nothing"),
    "an instance of a function": (form_of([["instance", "numpy.log1p", {}]]), "not a type"),
    "a function as the model": (form_of([["function", "numpy.log1p"]]), "keeps no such thing"),
    "an attribute of Python's": (form_of([["instance", SCALER, {"__class__": "x"}]]), "__class__"),
    "a method that is hidden": (form_of([["instance", SCALER, {"transform": "x"}]]), "hides"),
    "a function where none is kept": (
        form_of([["function", "numpy.log1p"], ["instance", SCALER, {"scale_": 0, **HERE}]]),
        "keeps no",
    ),
    "a tree that goes back": (with_nodes(put(0, "left_child", 0)), "decision tree"),
    "a tree that leaves itself": (with_nodes(put(0, "right_child", 10**6)), "decision tree"),
    "a tree of other columns": (with_nodes(put(0, "feature", 77)), "decision tree"),
    "a boosted tree that goes back": (with_nodes(put(0, "left", 0), HISTOGRAMS), "boosted tree"),
    "a boosted tree of other columns": (
        with_nodes(put(0, "feature_idx", 77), HISTOGRAMS), "columns",
    ),
    "a tree of neighbours past its rows": (
        with_nodes(put(0, "idx_end", 10**6), NEIGHBOURS), "tree of neighbours",
    ),
    "other columns than its tree": (with_state(TREE, n_features_in_=[2]), "n_features_in_"),
    "another number of rows": (with_state(NEIGHBOURS, n_samples_fit_=[61]), "does not fit"),
    "another scikit-learn": (with_state(TREE, _sklearn_version="0.1"), "0.1"),
    "a random generator past its words": (
        form_of(
            [
                ["compiled", "numpy.random._mt19937.MT19937", [], None],
            ]
        ), "without state",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_form_that_no_writer_writes_is_refused(attack):
    data, reason = HOSTILE[attack]

    with pytest.raises(FormRefused) as refused:
        back(data)

    assert reason in str(refused.value)


def test_there_are_more_than_forty_of_these():
    assert len(HOSTILE) > 40


def test_a_refusal_names_the_place_in_the_model():
    with pytest.raises(FormRefused) as refused:
        back(with_nodes(put(0, "left_child", 0), make_pipeline(StandardScaler(), TREE)))

    assert refused.value.place == "steps[1][1].tree_"


@pytest.mark.parametrize("length", [*range(0, 64, 7), 65, 130, 700])
def test_a_form_that_is_cut_anywhere_is_refused(length):
    with pytest.raises(FormRefused):
        back(written(TREE)[:-length] if length else b"")


def plain_values():
    keys = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9))
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(-(2**90), 2**90), st.floats(), st.text(max_size=9),
        st.binary(max_size=9), st.complex_numbers(),
    )  # fmt: skip
    numbers = st.integers(-(2**60), 2**60)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.tuples(inner, inner),
            st.dictionaries(st.text(max_size=5), inner, max_size=4),
            st.frozensets(st.one_of(numbers, st.text(max_size=5)), max_size=4),
            st.builds(slice, numbers, numbers),
        ),
        max_leaves=9,
    ) | st.dictionaries(keys.filter(lambda key: type(key) is not int), leaves, max_size=4)


def spelled(value):
    """Return a value with its types as text; sets have no order."""
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {spelled(held)}' for key, held in value.items())}}}"
    if type(value) in (list, tuple):
        return f"{type(value).__name__}({', '.join(map(spelled, value))})"
    if type(value) is frozenset:
        return f"frozenset({sorted(map(repr, value))})"
    return repr(value)


@given(plain_values())
@settings(max_examples=150, deadline=None)
def test_plain_values_come_back_as_they_were(value):
    assert spelled(back(written([value]))) == spelled([value])


def test_one_object_in_two_places_is_one_object_again():
    array, inner = np.arange(9.0), [1]
    first, second, third = back(written([array, array, {"a": inner, "b": inner}]))

    assert first is second
    assert third["a"] is third["b"]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(9)[::2],
        np.array(["a", "bcd"]),
        np.array([b"a"]),
        np.array([True, False]),
        np.array(["2026-01-01", "NaT"], "M8[ns]"),
        np.array([1.5, None, "x"], object),
        np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
        np.zeros((0, 5)),
        np.array(3.5),
        np.arange(3, dtype=">i4"),
        np.array([0.0, -0.0, np.nan, np.inf]),
    ],
)
def test_an_array_comes_back_as_it_was(array):
    (found,) = back(written([array]))

    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.tolist() == array.tolist() or np.isnan(array).any()
    assert found.flags.f_contiguous == array.copy("A").flags.f_contiguous or array.ndim < 2


def test_large_arrays_are_views_that_nobody_can_write_to():
    data = written([np.arange(1000.0)])
    (view,) = read(data, allowed=ALLOWED, limits=Limits(view_from=8000))
    (copy,) = read(data, allowed=ALLOWED, limits=Limits(view_from=8001))

    assert not view.flags.writeable
    assert not view.flags.owndata
    assert copy.flags.writeable


@pytest.mark.parametrize(
    ("value", "path", "what"),
    [
        (make_pipeline(FunctionTransformer(lambda x: x)), "steps[0][1].func", "<lambda>"),
        ({"a": [1, subprocess.Popen]}, "['a'][1]", "subprocess.Popen"),
        ([io.StringIO()], "[0]", "io.StringIO"),
        ("text", "the model", "str"),
    ],
)
def test_what_cannot_be_described_is_named_with_its_place(value, path, what):
    with pytest.raises(NotDescribable) as refused:
        written(value)

    assert refused.value.path == path
    assert what in refused.value.what
    assert refused.value.way_out


def test_an_object_that_leads_to_itself_is_not_described():
    inner = []
    inner.append(inner)
    with pytest.raises(NotDescribable, match="stands in"):
        written([inner])


PICKLE_FOUND = []
sys.addaudithook(lambda event, _: PICKLE_FOUND.append(1) if event == "pickle.find_class" else None)


def test_every_form_is_read_without_pickle(monkeypatch):
    models = (TREE, NEIGHBOURS, HISTOGRAMS, STEPS.fit(ROWS, TWO), BisectingKMeans(2).fit(ROWS))
    forms = [written(model) for model in models]

    def refuse(*_, **__):
        raise AssertionError("pickle was asked")

    for module, name in (
        (pickle, "Unpickler"), (pickle, "loads"), (pickle, "load"), (_pickle, "loads"),
        (_pickle, "load"), (_pickle, "Unpickler"), (joblib, "load"), (np, "load"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, refuse)
    PICKLE_FOUND.clear()

    for model, form in zip(models, forms, strict=True):
        np.testing.assert_array_equal(back(form).predict(ROWS), model.predict(ROWS))
    assert PICKLE_FOUND == []


def test_the_parts_of_a_form_are_what_was_written():
    frame = read_frame(memoryview(form_of([["list", []]], EIGHT, b"x")), header_limit=1000)

    assert isinstance(frame, Frame)
    assert [bytes(block) for block in frame.blocks] == [EIGHT, b"x"]


_PRIVATE_MEMORY = """
import mmap, sys
from secureml.models.data_form.reader import read
from secureml.models.unpickling.allowlist import builtin_names

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

with open(sys.argv[1], "rb") as file:
    memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
before = private()
model = read(memory, allowed=builtin_names())
assert model.predict([[0.5] * 250_000]).shape == (1, 100)
print(private() - before)
"""


def test_a_model_of_200_mb_adds_little_private_memory_where_its_file_is_mapped(tmp_path):
    model = LinearRegression()
    model.coef_, model.intercept_ = np.ones((100, 250_000)), np.zeros(100)
    model.n_features_in_ = 250_000
    with (tmp_path / "form").open("wb") as file:
        write(model, file, allowed=ALLOWED)

    done = subprocess.run(
        [sys.executable, "-c", _PRIVATE_MEMORY, tmp_path / "form"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "form").stat().st_size > 200 * 10**6
    assert int(done.stdout) < 50_000  # KiB
