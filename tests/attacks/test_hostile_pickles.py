"""Attack: a model file, signed by whoever was deceived, that uses allowed names alone.

Every file is written byte by byte and given to the very function that seals. The witness is
Python's own audit log: no file is opened for writing, no program started, no module imported,
no memory reached by address. What each refusal says is part of the claim.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import struct
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.conversion import Conversion, convert, take
from secureml.models.unpickling.allowlist import builtin_names

ROWS, ANSWERS = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 1.0], [3.0, 0.0]]), np.array([0, 0, 1, 1])

# --- Bytes ------------------------------------------------------------------------------------


def value(plain: Any) -> bytes:
    """Return what pushes a plain value or array."""
    return pickle.dumps(plain, 3)[2:-1]


def text(letters: str) -> bytes:
    raw = letters.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(full: str) -> bytes:
    module, _, attribute = full.rpartition(".")
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + item for key, item in items.items()) + b"u"


def sequence(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def group(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def bare(full: str) -> bytes:
    return name(full) + b")\x81"


def built(full: str, **state: bytes) -> bytes:
    return bare(full) + mapping(**state) + b"b"


def called(full: str, *arguments: bytes) -> bytes:
    return name(full) + group(*arguments) + b"R"


def kept(place: int, made: bytes) -> bytes:
    return made + b"q" + bytes([place])


def again(place: int) -> bytes:
    return b"h" + bytes([place])


VERSION = text(sklearn.__version__)
LINEAR = "sklearn.linear_model._logistic.LogisticRegression"
PIPELINE = "sklearn.pipeline.Pipeline"
FROZEN = "sklearn.frozen._frozen.FrozenEstimator"
STACKING = "sklearn.ensemble._stacking.StackingClassifier"
FUNCTION = "sklearn.preprocessing._function_transformer.FunctionTransformer"
SCORER = "sklearn.metrics._scorer._Scorer"
ACCURACY = "sklearn.metrics._classification.accuracy_score"
BUNCH = "sklearn.utils._bunch.Bunch"
KERNEL = "sklearn.gaussian_process.kernels.WhiteKernel"
BUFFER = "numpy._core.numeric._frombuffer"
AS_ARRAY = "scipy._lib.array_api_compat.numpy._aliases.asarray"
GENERATOR = "numpy.random._pickle.__generator_ctor"
BITS = "numpy.random._pickle.__bit_generator_ctor"
MERSENNE = "numpy.random._mt19937.MT19937"
METRIC = "sklearn.metrics._dist_metrics.newObj"
NEIGHBOURS = "sklearn.neighbors._kd_tree.newObj"
TREE = "sklearn.tree._tree.Tree"
ISOTONIC = "sklearn.isotonic.IsotonicRegression"
CSR = "scipy.sparse._csr.csr_matrix"
FLOATS = value(np.dtype("f8"))
ADDRESS = {"shape": (1,), "typestr": "<f8", "data": (4096, False), "version": 3}
COVER = value(LogisticRegression().fit(ROWS, ANSWERS))


def scorer(**more: bytes) -> bytes:
    return built(SCORER, _score_func=name(ACCURACY), _sign=value(1), _kwargs=b"}", **more)


def estimator(full: str, **state: bytes) -> bytes:
    return built(full, _sklearn_version=VERSION, **state)


# An object that NumPy would ask for memory, if it were asked.
OFFER = bare(BUNCH) + mapping(__array_interface__=value(ADDRESS))[1:]


def tree_state(**changes: Any) -> dict[str, Any]:
    """Return the state of an honest tree, changed."""
    state = DecisionTreeClassifier().fit(ROWS, ANSWERS).tree_.__getstate__()
    return {key: np.copy(part) if isinstance(part, np.ndarray) else part
            for key, part in state.items()} | changes  # fmt: skip


def tree(state: dict[str, Any], classes: Any = None, outputs: int = 1) -> bytes:
    classes = np.array([2]) if classes is None else classes
    made = called(TREE, value(2), value(classes), value(outputs))
    return made + mapping(**{key: value(part) for key, part in state.items()}) + b"b"


def looping_tree() -> bytes:
    state = tree_state()
    state["nodes"]["left_child"][0] = 0
    return tree(state)


def far_tree() -> bytes:
    state = tree_state()
    state["nodes"]["right_child"][0] = 2**40
    return tree(state)


def bits(**changes: Any) -> bytes:
    state = np.random.MT19937(1).state
    state["state"].update(changes)
    return called(BITS, name(MERSENNE)) + group(value(state), b"N") + b"b"


def sparse(**changes: Any) -> bytes:
    state = {"_shape": (1, 2), "indptr": np.array([0, 1], "i4"), "maxprint": 50,
             "indices": np.array([0], "i4"), "data": np.array([1.0])} | changes  # fmt: skip
    return built(CSR, **{key: value(part) for key, part in state.items()})


def planted(key: str, thing: bytes) -> bytes:
    """Return an estimator with one attribute of the file's choice."""
    return estimator(LINEAR, **{key: thing})


ATTACKS: dict[str, tuple[bytes, str]] = {
    # NEWOBJ, NEWOBJ_EX
    "NEWOBJ calls what BUILD planted": (
        planted("__new__", scorer()) + text("path") + b"N\x86\x81", "'__new__'",
    ),
    "NEWOBJ on an instance": (bare(LINEAR) + b")\x81", "makes an instance of a Logistic"),
    "NEWOBJ_EX on an instance": (bare(LINEAR) + b")}\x92", "makes an instance of a Logistic"),
    "NEWOBJ on a scorer": (scorer() + b"N\x85\x81", "makes an instance of a _Scorer"),
    "NEWOBJ on a function": (name(ACCURACY) + b")\x81", "makes an instance of a function"),
    "NEWOBJ on a ufunc": (name("numpy.log1p") + OFFER + b"\x85\x81", "Bunch"),
    "NEWOBJ with arguments": (name(LINEAR) + b"N\x85\x81", "with arguments"),
    "NEWOBJ_EX with words": (name(LINEAR) + b")" + mapping(C=b"N") + b"\x92", "with arguments"),
    "NEWOBJ_EX with words that are no dict": (
        name(LINEAR) + b")" + bare(LINEAR) + b"\x92", "something else than arguments",
    ),
    "NEWOBJ of a compiled tree": (bare("sklearn.neighbors._kd_tree.KDTree"), "a bare"),
    "NEWOBJ of a compiled generator": (bare(MERSENNE), "a bare"),
    "NEWOBJ of a masked array": (bare("numpy.ma.MaskedArray"), "a bare"),
    "NEWOBJ of an array": (bare("numpy.ndarray"), "an array"),
    # APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS, DICT, FROZENSET
    "APPEND to an instance": (bare(LINEAR) + b"Na", "appends to a LogisticRegression"),
    "APPENDS to an instance": (planted("extend", scorer()) + b"(Ne", "appends to a Logistic"),
    "APPENDS to bytes that grow": (
        called("builtins.bytearray", value(b"a")) + b"(K\x01e", "appends to a bytearray",
    ),
    "APPENDS to a tuple": (b")(Ne", "appends to a tuple"),
    "ADDITEMS to an instance": (planted("add", scorer()) + b"(N\x90", "adds to a Logistic"),
    "ADDITEMS of an object": (b"\x8f(" + bare(KERNEL) + b"\x90", "WhiteKernel as a key"),
    "SETITEM on an instance": (bare(PIPELINE) + b"K\x00Ns", "puts items into a Pipeline"),
    "SETITEM on an array": (value(np.arange(2)) + b"K\x00Ns", "puts items into a ndarray"),
    "SETITEM on a list": (b"]K\x00Ns", "puts items into a list"),
    "SETITEMS on an instance": (bare(LINEAR) + b"(NNu", "puts items into a Logistic"),
    "SETITEMS under an object": (b"}(" + bare(KERNEL) + b"Nu", "WhiteKernel as a key"),
    "SETITEMS under a deep tuple": (b"}(N" + b"\x85" * 100_000 + b"Nu", "nested tuples"),
    "DICT under an object": (b"(" + bare(KERNEL) + b"Nd", "WhiteKernel as a key"),
    "FROZENSET of an object": (b"(" + bare(KERNEL) + b"\x91", "WhiteKernel as a key"),
    "a Bunch that offers memory": (OFFER, "'__array_interface__' into a Bunch"),
    "a Bunch with a key that is not text": (bare(BUNCH) + b"(NNu", "into a Bunch"),
    # BUILD
    "BUILD obeys the instance": (
        planted("__setstate__", scorer()) + b"}b", "'__setstate__'",
    ),
    "BUILD with slots": (bare(KERNEL) + b"N" + mapping(bounds=b"N") + b"\x86b", "not a dict"),
    "BUILD with slots of an estimator": (
        bare(LINEAR) + b"}" + mapping(predict=b"N") + b"\x86b", "not a dict",
    ),
    "BUILD hides a method": (planted("predict", scorer()), "hides the method or property"),
    "BUILD hides a property": (
        estimator(PIPELINE, named_steps=b"}"), "hides the method or property 'named_steps'",
    ),
    "BUILD hides a private method": (
        estimator(STACKING, _concatenate_predictions=name("builtins.slice")), "hides the method",
    ),
    "BUILD of another class": (planted("__class__", name(PIPELINE)), "'__class__'"),
    "BUILD of another dict": (planted("__dict__", b"}"), "'__dict__'"),
    "BUILD of an interface": (planted("__array_interface__", value(ADDRESS)), "'__array_inter"),
    "BUILD of an array's method": (planted("__array__", scorer()), "'__array__'"),
    "BUILD under a key that is not text": (bare(LINEAR) + b"}(K\x01Nub", "the attribute"),
    "BUILD on a list": (b"]}b", "gives state to a list"),
    "BUILD on a class": (name(LINEAR) + mapping(predict=b"N") + b"b", "alters"),
    "BUILD on a function": (name(ACCURACY) + mapping(__code__=b"N") + b"b", "alters"),
    "BUILD rebuilds an isotonic regression from an object": (
        estimator(ISOTONIC, X_thresholds_=bare(FROZEN), y_thresholds_=value(np.arange(2.0))),
        "an isotonic regression",
    ),
    "BUILD twice on one array": (
        kept(201, value(np.array(["a"], object))) + again(201)
        + group(value(1), value((0,)), FLOATS, b"\x89", b"C\x00") + b"b",
        "gives state to a ndarray",
    ),
    "BUILD twice on one dtype": (
        kept(201, FLOATS) + value((3, "<", None, None, None, -1, -1, 0)) + b"b",
        "gives state to a ",
    ),
    "BUILD twice on one generator": (
        kept(201, bits()) + again(201) + group(value(np.random.MT19937(1).state), b"N") + b"b",
        "alters a MT19937",
    ),
    "BUILD twice on one tree": (
        kept(201, tree(tree_state())) + mapping(**{
            key: value(part) for key, part in tree_state().items()}) + b"b",
        "alters a Tree",
    ),
    # REDUCE
    "REDUCE on an instance": (scorer() + b"N\x85R", "calls a _Scorer"),
    "REDUCE with arguments of its own kind": (name("builtins.slice") + b"]R", "calls a type"),
    "REDUCE on a class": (called(LINEAR), "may only be named"),
    "REDUCE on a score": (called(ACCURACY, b"N", b"N"), "may only be named"),
    "REDUCE on a ufunc": (called("numpy.log1p", bare(FROZEN)), "may only be named"),
    "REDUCE on mean": (called("numpy.mean", bare(FROZEN)), "may only be named"),
    "REDUCE on asarray, of an object": (called(AS_ARRAY, bare(FROZEN)), "may only be named"),
    "REDUCE on asarray, of a dict": (called(AS_ARRAY, value(ADDRESS)), "may only be named"),
    "REDUCE on a buffer of an object": (
        called(BUFFER, bare(FROZEN), FLOATS, value((1,)), text("C")), "builds an array",
    ),
    "REDUCE on a buffer too short": (
        called(BUFFER, value(bytearray(4)), FLOATS, value((1,)), text("C")), "builds an array",
    ),
    "REDUCE on a scalar of an object": (
        called("numpy._core.multiarray.scalar", FLOATS, bare(FROZEN)), "builds a number",
    ),
    "REDUCE on a list of an instance": (called("builtins.list", bare(PIPELINE)), "only be named"),
    "REDUCE on a set of an instance": (called("builtins.set", bare(PIPELINE)), "than a list"),
    "REDUCE on a set of objects": (
        called("builtins.set", sequence(bare(KERNEL))), "WhiteKernel as a key",
    ),
    "REDUCE on a number of an instance": (called("builtins.complex", bare(KERNEL)), "plain values"),
    "REDUCE on bytes of an instance": (called("builtins.bytearray", bare(KERNEL)), "than bytes"),
    "REDUCE on bytes of a number": (called("builtins.bytearray", value(2**40)), "than bytes"),
    "REDUCE on a dict that calls": (
        called("collections.defaultdict", name(ACCURACY)), "that calls something",
    ),
    "REDUCE on a dict that calls an instance": (
        called("collections.defaultdict", scorer()), "that calls something",
    ),
    "REDUCE on newObj, of an instance": (called(METRIC, bare(FROZEN)), "builds a distance"),
    "REDUCE on newObj, of another class": (called(METRIC, name(LINEAR)), "builds a distance"),
    "REDUCE on newObj, of a distance that calls": (
        called(METRIC, name("sklearn.metrics._dist_metrics.PyFuncDistance64")), "not allowed",
    ),
    "REDUCE on the other newObj": (called(NEIGHBOURS, name(LINEAR)), "builds a tree of"),
    "REDUCE on a generator of a name and a callable": (
        called(GENERATOR, text("MT19937"), name(ACCURACY)), "builds a random generator",
    ),
    "REDUCE on a generator of a class": (called(BITS, name(LINEAR)), "a random generator"),
    "REDUCE on a loss of an object": (
        called("sklearn._loss._loss.CyHuberLoss", bare(FROZEN)), "builds a loss",
    ),
    "REDUCE on a tree of an object": (
        called(TREE, value(1), bare(FROZEN), value(1)), "builds a decision tree",
    ),
    "REDUCE on a tree with more outputs than classes": (
        tree(tree_state(), np.array([2]), 1000), "builds a decision tree",
    ),
    # INST, OBJ, EXT, persistent ids, buffers from outside
    "INST": (b"(iposix\nsystem\n", "posix.system, which can never be allowed"),
    "INST of an allowed class": (b"(isklearn.pipeline\nPipeline\n", "as of 1995"),
    "OBJ": (b"(" + name(PIPELINE) + b"o", "as of 1995"),
    "EXT1": (b"\x82\x01", "extension code"),
    "EXT2": (b"\x83\x01\x00", "extension code"),
    "EXT4": (b"\x84\x01\x00\x00\x00", "extension code"),
    "PERSID": (b"Pwhatever\n", "cannot be read"),
    "BINPERSID": (b"NQ", "cannot be read"),
    "NEXT_BUFFER": (b"\x97", "cannot be read"),
    "READONLY_BUFFER": (b"N\x98", "cannot be read"),
    # Compiled state
    "a tree that loops": (looping_tree(), "builds a decision tree"),
    "a tree that points outside": (far_tree(), "builds a decision tree"),
    "a tree longer than its nodes": (tree(tree_state(node_count=9)), "builds a decision tree"),
    "a tree without its nodes": (called(TREE, value(2), value(np.array([2])), value(1)), "without"),
    "neighbours without their rows": (
        called(NEIGHBOURS, name("sklearn.neighbors._kd_tree.KDTree")), "without its state",
    ),
    "a generator that reads on": (bits(pos=2**30), "builds a random generator"),
    "a generator with few words": (bits(key=np.zeros(3, "u4")), "builds a random generator"),
    "a sparse matrix that points outside": (
        planted("coef_", sparse(indices=np.array([9], "i4"))), "builds a sparse matrix",
    ),
    "a sparse matrix of an object": (
        planted("coef_", built(CSR, _shape=value((1, 1)), data=bare(FROZEN))), "a sparse matrix",
    ),
    # What was built, before it is asked
    "a transform that writes into the model": (
        estimator(FUNCTION, func=name("numpy.absolute"),
                  kw_args=mapping(out=value(np.arange(3)), casting=text("unsafe"))),
        "'out' in FunctionTransformer.kw_args",
    ),
    "a transform back that writes into the model": (
        estimator(FUNCTION, inverse_func=name("numpy.absolute"),
                  inv_kw_args=mapping(out=value(np.arange(3)))),
        "'out' in FunctionTransformer.inv_kw_args",
    ),
    "a transform that leaves memory as it was": (
        estimator(FUNCTION, func=name("numpy.absolute"), kw_args=mapping(where=value(False))),
        "'where' in FunctionTransformer.kw_args",
    ),
    "a distance that writes into the model": (
        estimator("sklearn.kernel_approximation.Nystroem",
                  kernel_params=mapping(out=value(np.ones((2, 2))))), "'out' in Nystroem",
    ),
    "a score where a transform is": (
        estimator(FUNCTION, func=name(ACCURACY)), "accuracy_score at FunctionTransformer.func",
    ),
    "asarray where a transform is": (
        estimator(FUNCTION, func=name(AS_ARRAY)), "asarray at FunctionTransformer.func",
    ),
    "a scorer where a transform is": (estimator(FUNCTION, func=scorer()), "_Scorer at Function"),
    "a class in a model": (planted("coef_", name(PIPELINE)), "Pipeline at LogisticRegression"),
    "a function as a step": (
        estimator(PIPELINE, steps=sequence(group(text("a"), name(ACCURACY)))), "Pipeline.steps",
    ),
    "a kernel as a step": (
        estimator(PIPELINE, steps=sequence(group(text("a"), bare(KERNEL)))), "Pipeline.steps",
    ),
    "a ufunc as a score": (
        planted("scoring", built(SCORER, _score_func=name("numpy.log1p"))), "_Scorer._score_func",
    ),
    "a scorer that asks another method": (
        planted("scoring", scorer(_response_method=text("transform"))), "'transform'",
    ),
    "a stack that asks another method": (
        estimator(STACKING, stack_method_=sequence(text("tofile"))), "the method name 'tofile'",
    ),
    "a stack that asks a method of a kind": (
        estimator(STACKING, stack_method_=group(bare(FROZEN))), "the method name 'Frozen",
    ),
    "a chain that asks another method": (
        estimator("sklearn.multioutput.ClassifierChain", chain_method_=text("fit")), "'fit'",
    ),
    "importance by a dunder": (
        estimator("sklearn.feature_selection._rfe.RFE",
                  importance_getter=text("__init__.__globals__")), "RFE.importance_getter",
    ),
    "an array behind an estimator": (
        estimator(FROZEN, estimator=value(np.arange(2))), "FrozenEstimator.estimator",
    ),
    "a Bunch that poses as an estimator": (
        estimator(PIPELINE, steps=sequence(group(text("a"), bare(BUNCH)))), "Bunch at Pipeline",
    ),
    "a callable in a list that is right elsewhere": (
        estimator("sklearn.model_selection._search.GridSearchCV",
                  param_grid=kept(201, sequence(name("numpy.log1p"))),
                  best_estimator_=planted("coef_", again(201))), "LogisticRegression.coef_",
    ),
    "a callable in an array of objects": (
        planted("coef_", value(np.array([len], object)).replace(
            b"cbuiltins\nlen\n", b"cnumpy\nlog1p\n")), "LogisticRegression.coef_",
    ),
    "a function in place of the model": (name(ACCURACY), "at the place of the model"),
    "a stand-in in the model": (planted("coef_", name("numpy.dtype")), "numpy.dtype at"),
}  # fmt: skip

# --- The witness ------------------------------------------------------------------------------

watching: list[tuple[str, Any]] | None = None
HARMFUL = ("os.", "subprocess.", "ctypes.", "socket.", "shutil.", "pickle.find_class", "exec")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def watch(event: str, arguments: Any) -> None:
    if watching is None:
        return
    if event == "open":
        if arguments[2] & WRITES and str(arguments[0]) != os.devnull:
            watching.append((event, str(arguments[0])))
    elif event == "import" or event.startswith(HARMFUL):
        watching.append((event, str(arguments[:1])))


sys.addaudithook(watch)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Have every allowed module in memory, so that each import seen is one of the file's."""
    for full in sorted(builtin_names()):
        importlib.import_module(full.rpartition(".")[0])


def seal(content: bytes) -> Any:
    """Convert a file as the confined child does, but here, where what it does can be seen."""
    conversion = Conversion("hostile", "1", "2026-01-01T00:00:00Z", "0" * 64)
    result = BytesIO()
    convert(conversion, content, None, result)
    return take(result)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("case", ATTACKS)
def test_the_file_is_refused_and_nothing_happens(case: str, tmp_path: Path) -> None:
    global watching  # noqa: PLW0603 - an audit hook has no other way to be told
    stream, says = ATTACKS[case]
    # Inside a model that is honest else, so that it is there to be asked; or in its place.
    inside = COVER + mapping(extra_=stream, _sklearn_version=VERSION) + b"b"
    content = b"\x80\x05" + (stream if case.endswith("place of the model") else inside) + b"."
    before = set(sys.modules)
    watching = []
    try:
        with pytest.raises(ModelRefused) as refused:
            seal(content)
    finally:
        seen, watching = watching, None

    assert says in refused.value.message
    assert refused.value.fix
    assert seen == []
    assert set(sys.modules) == before
    assert files(tmp_path) == []


def writer(path: Path) -> bytes:
    """Return a stack whose planted ``__new__`` is a scorer that has an array write itself."""
    ask = built(SCORER, _score_func=name("sklearn.gaussian_process.kernels.Exponentiation"),
                _sign=value(1), _kwargs=b"}", _response_method=text("transform"))  # fmt: skip
    behind = estimator(FROZEN, estimator=value(np.frombuffer(b"written", "u1").copy()))
    stack = estimator(
        STACKING, estimators=b"]", estimators_=sequence(behind), final_estimator_=b"N",
        stack_method_=sequence(text("tofile")), classes_=value(np.array([0, 1])),
        passthrough=b"\x89", _concatenate_predictions=name("builtins.slice"), __new__=ask,
    )  # fmt: skip
    return stack + text(str(path)) + b"N\x86\x81"


@pytest.mark.parametrize("place", ["before", "inside"])
def test_a_chain_of_allowed_names_that_ends_in_a_file_ends_in_a_refusal(
    place: str, tmp_path: Path
) -> None:
    stream = writer(tmp_path / "module.py")
    inside = COVER + mapping(extra_=stream, _sklearn_version=VERSION) + b"b"
    content = stream + b"0" + COVER if place == "before" else inside
    with pytest.raises(ModelRefused):
        seal(b"\x80\x03" + content + b".")

    assert files(tmp_path) == []


def test_the_cover_alone_is_sealed() -> None:
    assert json.loads(seal(b"\x80\x05" + COVER + b".").card)["version"] == "1"


def test_the_witness_sees(tmp_path: Path) -> None:
    global watching  # noqa: PLW0603 - as above
    watching = []
    try:
        (tmp_path / "written").write_text("x")
        os.system("true")
        (tmp_path / "unheard_of.py").touch()
        sys.path.insert(0, str(tmp_path))
        importlib.import_module("unheard_of")
    finally:
        sys.path.remove(str(tmp_path))
        seen, watching = watching, None

    assert {"open", "os.system", "exec"} <= {event for event, _ in seen}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_an_honest_model_of_any_protocol_is_sealed_still(protocol: int, tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit(ROWS, ANSWERS), tmp_path / "m", protocol=protocol)

    assert json.loads(seal((tmp_path / "m").read_bytes()).card)["version"] == "1"
