"""Attacks on the loader: none may run anything, and each says what it asked for."""

from __future__ import annotations

import builtins
import contextlib
import copyreg
import functools
import io
import os
import pickle
import struct
import subprocess

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib.numpy_pickle_compat import NDArrayWrapper, ZNDArrayWrapper
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.reader import load_estimator, load_recorded

ROWS = np.arange(40.0).reshape(20, 2)
ANSWERS = np.arange(20) % 2


def dumped(value, **words):
    file = io.BytesIO()
    joblib.dump(value, file, **words)
    return file.getvalue()


def refuse(data, allowed=None):
    with pytest.raises(ModelRefused) as refused:
        load_estimator(data, builtin_names() if allowed is None else allowed)
    return refused.value


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.fixture
def witness(tmp_path):
    """Return a shell command that leaves a file, and prove that it was never run."""
    path = tmp_path / "ran"
    yield f"touch {path}"
    assert not path.exists()


def hiding_places(payload):
    estimator = LogisticRegression().fit(ROWS, ANSWERS)
    estimator.extra_ = payload
    holder = np.empty(1, dtype=object)
    holder[0] = payload
    inside = LogisticRegression().fit(ROWS, ANSWERS)
    inside.extra_ = holder
    nested = np.empty(1, dtype=object)
    nested[0] = [holder]
    return [payload, [payload], estimator, holder, inside, nested]


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("compress", [0, 3])
def test_os_system_is_refused_wherever_it_hides(witness, place, compress):
    refused = refuse(dumped(hiding_places(Call(os.system, witness))[place], compress=compress))

    assert refused.check == "globals"
    assert f"{os.system.__module__}.system" in refused.message
    assert refused.fix


@pytest.mark.parametrize(
    "function",
    [
        os.popen,
        subprocess.Popen,
        subprocess.check_output,
        eval,
        exec,
        compile,
        open,
        getattr,
        setattr,
        __import__,
        joblib.load,
        joblib.numpy_pickle._unpickle,
        np.load,
        np.fromfile,
        pickle.loads,
        functools.partial,
        functools.reduce,
        copyreg._reconstructor,
        np.memmap,
        builtins.input,
        np.frompyfunc,
        np.vectorize,
        np.apply_along_axis,
    ],
    ids=lambda function: (
        f"{function.__module__}.{function.__qualname__}"
        if hasattr(function, "__qualname__")
        else str(function)
    ),
)
def test_a_function_that_could_do_anything_is_refused_by_name(witness, function):
    refused = refuse(dumped(Call(function, witness)))

    assert refused.check == "globals"
    assert function.__name__ in refused.message


def test_the_trampoline_through_joblib_load_is_refused(witness, tmp_path):
    inner = tmp_path / "inner.joblib"
    joblib.dump(Call(os.system, witness), inner)

    assert "joblib.numpy_pickle.load" in refuse(dumped(Call(joblib.load, str(inner)))).message


@pytest.mark.parametrize(
    "wrapper",
    [
        NDArrayWrapper("other.npy", np.ndarray),
        ZNDArrayWrapper("other.z", (), ()),
    ],
)
def test_old_formats_that_open_other_files_are_refused(wrapper):
    assert "Wrapper" in refuse(dumped(wrapper)).message


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\n(X\x02\x00\x00\x00idtR.",
        b"(X\x02\x00\x00\x00idios\nsystem\n.",
        b"(cos\nsystem\nX\x02\x00\x00\x00ido.",
        b"\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
        b"c__builtin__\neval\n(X\x01\x00\x00\x001tR.",
        b"cposix\nsystem\n(X\x02\x00\x00\x00idtR.",
        b"\x8c\x02os\x8c\x06system\x93)\x81.",
        b"\x8c\x02os\x8c\x06system\x93)}\x92.",
    ],
    ids=["GLOBAL", "INST", "OBJ", "STACK_GLOBAL", "python2 name", "posix", "NEWOBJ", "NEWOBJ_EX"],
)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_no_opcode_reaches_a_name_that_is_not_allowed(stream, protocol):
    assert refuse(bytes([0x80, protocol]) + stream).check == "globals"


@pytest.mark.parametrize("stream", [b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00."])
def test_extension_codes_are_refused(stream):
    assert refuse(b"\x80\x04" + stream).check == "globals"


@pytest.mark.parametrize("stream", [b"P1\n.", b"N Q.", b"\x8c\x011Q.", b"\x97.", b"N\x98."])
def test_persistent_ids_and_outside_buffers_are_refused(stream):
    assert refuse(b"\x80\x05" + stream).check == "format"


def text(value):
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def name(module, attribute):
    return text(module) + text(attribute) + b"\x93"


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("sklearn.base", "BaseEstimator.__init__.__globals__"),
        ("numpy", "ndarray.tofile"),
        ("sklearn.linear_model", "_logistic.LogisticRegression"),
        ("sklearn.linear_model._logistic.LogisticRegression", "fit.__globals__"),
    ],
)
def test_a_dotted_name_does_not_reach_the_attributes_of_what_is_allowed(module, attribute):
    assert refuse(b"\x80\x04" + name(module, attribute) + b".").check == "globals"


def test_a_class_cannot_be_altered_for_the_whole_process():
    target = name("sklearn.linear_model._logistic", "LogisticRegression")
    other = name("sklearn.metrics._classification", "accuracy_score")
    stream = b"\x80\x04" + target + b"(N}" + text("predict") + other + b"stb."
    before = LogisticRegression.predict

    assert "alters" in refuse(stream).message
    assert LogisticRegression.predict is before


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("sklearn.metrics._classification", "accuracy_score"),
        ("sklearn.metrics._dist_metrics", "newObj"),  # a compiled function has attributes, too
        ("numpy", "mean"),
        ("numpy", "log1p"),
        ("numpy", "dtype"),
    ],
)
def test_a_function_cannot_be_altered_for_the_whole_process(module, function):
    stream = b"\x80\x04" + name(module, function) + b"}" + text("__wrapped__") + b"Nsb."

    assert "alters" in refuse(stream).message


def test_an_object_built_by_the_pickle_cannot_be_called():
    made = name("sklearn.gaussian_process.kernels", "WhiteKernel") + b")\x81"
    stream = b"\x80\x04" + made + b"N\x85R."

    assert "calls a WhiteKernel" in refuse(stream).message
    assert refuse(b"\x80\x04(" + made + b"No.").check == "globals"


def test_an_array_cannot_be_laid_over_raw_bytes_as_objects():
    """numpy.ndarray(shape, dtype=object, buffer=...) would forge Python objects in memory."""
    arguments = b"(K\x01\x85" + name("numpy", "dtype") + text("O8") + b"\x89\x88\x87R"
    for call in (b"R", b"\x81"):
        stream = (
            b"\x80\x05"
            + name("numpy", "ndarray")
            + arguments
            + b"\x96"
            + struct.pack("<Q", 8)
            + b"A" * 8
            + b"t"
            + call
            + b"."
        )
        assert "array" in refuse(stream).message


def test_a_length_beyond_the_file_is_not_allocated():
    for opcode in (b"\x96", b"\x8e", b"\x8d"):
        refused = refuse(b"\x80\x05" + opcode + struct.pack("<Q", 2**40) + b".")
        assert refused.check == "format"


def test_an_array_beyond_the_file_is_not_allocated():
    data = dumped(np.zeros(1000))
    refused = refuse(data[:-1000])

    assert refused.check == "format"
    assert "more bytes than the file has" in refused.message


def test_another_scikit_learn_is_refused_by_both_versions():
    data = dumped(LogisticRegression().fit(ROWS, ANSWERS))
    at = data.index(b"_sklearn_version")
    foreign = data[:at] + data[at:].replace(b"1.9.1", b"1.2.3", 1)
    refused = refuse(foreign)

    assert refused.check == "versions"
    assert "1.2.3" in refused.message
    assert "1.9.1" in refused.message


def test_a_transformer_with_a_function_of_ones_own_needs_that_name():
    steps = [("own", FunctionTransformer(dumped)), ("model", LogisticRegression())]
    data = dumped(Pipeline(steps))

    assert "dumped" in refuse(data).message
    assert load_estimator(data, builtin_names() | {f"{__name__}.dumped"})


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression().fit(ROWS, ANSWERS),
        RandomForestClassifier(3).fit(ROWS, ANSWERS),
        OneHotEncoder().fit(np.array([["a"], ["b"]], dtype=object)),
        Pipeline([("log", FunctionTransformer(np.log1p)), ("model", LogisticRegression())]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_honest_model_loads_and_its_names_are_recorded(estimator):
    loaded, names = load_recorded(dumped(estimator), builtin_names())

    assert type(loaded) is type(estimator)
    assert names <= builtin_names()
    assert load_estimator(dumped(estimator), names)
    for needed in names:
        assert needed in refuse(dumped(estimator), names - {needed}).message


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(3.5),
        np.zeros((0, 4)),
        np.arange(5, dtype=">i4"),
        np.array(["é", "bc"]),
        np.array([True, False]),
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        np.array([1, "a", None, [2]], dtype=object),
        np.array([b"ab"]),
        np.ma.array([1, 2], mask=[0, 1]),
        np.array([np.arange(2), np.arange(3.0)], dtype=object),
        np.float32(2.5),
        np.str_("x"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("compress", [0, ("xz", 3)])
def test_arrays_come_back_as_joblib_itself_reads_them(array, compress):
    data = dumped({"array": array}, compress=compress)
    ours, theirs = load_estimator(data, builtin_names())["array"], joblib.load(io.BytesIO(data))

    assert type(ours) is type(theirs["array"])
    assert ours.dtype == theirs["array"].dtype
    assert ours.shape == theirs["array"].shape
    assert repr(ours) == repr(theirs["array"])


def test_a_loaded_array_can_be_written_to_like_any_other():
    assert load_estimator(dumped(np.arange(3.0)), builtin_names()).flags.writeable


HONEST = dumped(RandomForestClassifier(2, max_depth=2).fit(ROWS, ANSWERS))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(HONEST) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_pickle_loads_or_is_refused_and_nothing_else(at, patch):
    damaged = HONEST[:at] + patch + HONEST[at + len(patch) :]
    try:
        load_estimator(damaged, builtin_names())
    except ModelRefused as refused:
        assert str(refused).isprintable()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_after_the_header_are_refused_or_harmless(noise):
    with contextlib.suppress(ModelRefused):
        load_estimator(b"\x80\x05" + noise, builtin_names())
