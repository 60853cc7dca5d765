"""A model of CatBoost as its own file, and the check of it before CatBoost reads it.

CatBoost verifies that the file is a FlatBuffer; what lies in the arrays it takes as it is. So the
splits of each tree are those that there are, its leaves lie within their array, and the places of
columns in the quantised rows (``RepackedBins``) are the ones that follow from the borders
(``catboost/libs/model/flatbuffers/model.fbs`` and ``features.fbs`` of CatBoost 1.2.10).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from secureml.kit.strict_json import loads_object
from secureml.models.boosters.flatbuffer import FlatTable
from secureml.models.boosters.refusal import MOST_COLUMNS, MOST_TREES, not_served, refuse

_LIBRARY = "CatBoost"
_MAGIC = b"CBM1"
_CORE = {"trees": 1, "info": 2, "parts": 3}
_SPLITS, _SIZES, _STARTS, _FLOATS = 1, 2, 3, 5
_VALUES, _STEPS, _LEAVES, _BIASES, _REPACKED, _KNOWN = 8, 10, 11, 16, 17, range(19)
_UNCHECKED = {4: "categories", 6: "categories", 7: "categories", 12: "texts", 13: "texts",
              18: "embeddings"}  # fmt: skip
_DEEPEST = 16  # CatBoost's own bound
_PER_BIN = 254  # borders of one column that share a byte of a quantised row
_NO_LEAF = 2**32 - 1


def content_of(model: Any) -> bytes:
    """Return a CatBoostClassifier or CatBoostRegressor as its own file; empty if it is not fitted.

    A search keeps one that is not, beside the best that it has found. Raises ModelRefused.
    """
    if not model.is_fitted():
        return b""
    content = bytes(model._serialize_model())  # noqa: SLF001 - save_model writes files alone
    check(content)
    return content


def model_of(kind: Any, content: bytes, parameters: Mapping[str, Any]) -> Any:
    """Return the model of a class of CatBoost that bytes describe; raises ModelRefused."""
    use_one_thread()
    model = kind(**parameters)
    if content:
        check(content)
        model.load_model(blob=content)
    return model


@functools.cache
def use_one_thread() -> None:
    """Have every model of CatBoost in this process answer in the thread that asks it.

    Its `predict` takes the number of threads as an argument, which scikit-learn does not give.
    """
    from catboost.core import _CatBoostBase  # noqa: PLC0415 - as above

    ask = _CatBoostBase._base_predict  # noqa: SLF001 - all its questions pass through it

    @functools.wraps(ask)
    def ask_in_one_thread(
        model: Any,
        pool: Any,
        prediction_type: Any,
        ntree_start: Any,
        ntree_end: Any,
        thread_count: Any,
        verbose: Any,
        task_type: Any,
    ) -> Any:
        return ask(model, pool, prediction_type, ntree_start, ntree_end, 1, verbose, task_type)

    _CatBoostBase._base_predict = ask_in_one_thread  # noqa: SLF001 - as above


def check(content: bytes) -> None:
    """Refuse bytes that CatBoost would not write, or would follow out of its memory."""
    try:
        size = int.from_bytes(content[4:8], "little")
        if content[:4] != _MAGIC or size != len(content) - 8:
            raise ValueError("it does not begin as it should")
        _check_core(FlatTable.root(content[8:]))
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise refuse(_LIBRARY, f"is not what CatBoost writes ({error})") from None


def _check_core(core: FlatTable) -> None:
    if core.tables(_CORE["parts"]):
        raise _of("categories or texts")
    trees = core.table(_CORE["trees"])
    if not trees.fields <= set(_KNOWN):
        raise ValueError("it has fields that are not known")
    for field, what in _UNCHECKED.items():
        if len(trees.array(field, "<u4")):
            raise _of(what)
    outputs = trees.integer(0, 0)
    if not 1 <= outputs <= MOST_COLUMNS:
        raise ValueError("it has no outputs")
    _check_classes(core, outputs)
    biases = len(trees.array(_BIASES, "<f8"))
    if biases not in (0, outputs):
        raise ValueError("its biases are not one for each output")
    places = _places(trees.tables(_FLOATS))
    _check_trees(trees, places, outputs)


def _of(what: str) -> Exception:
    return not_served(
        _LIBRARY,
        f"was trained on columns of {what}",
        "give it numbers: encode the others in a step before it, for instance with OrdinalEncoder "
        "in a pipeline",
    )


def _check_classes(core: FlatTable, outputs: int) -> None:
    """Hold the labels to the outputs: CatBoost looks one up by the place of the largest output."""
    pairs = [(pair.text(0), pair.text(1)) for pair in core.tables(_CORE["info"])]
    info = dict(pairs)
    if len(info) != len(pairs) or "multiclass_params" in info:
        raise ValueError("its notes are given twice, or are of an old CatBoost")
    if "class_params" not in info:
        return
    classes = loads_object(info["class_params"])
    labels, names = classes["class_to_label"], classes["class_names"]
    count = outputs if outputs > 1 else 2
    if type(labels) is not list or type(names) is not list or len(labels) != count:
        raise ValueError("its labels are not one for each output")
    if len(names) != count or any(type(label) not in (int, float) for label in labels):
        raise ValueError("its labels are not one for each output")
    if any(not 0 <= label < count for label in labels):
        raise ValueError("its labels name a class that there is not")


def _places(columns: list[FlatTable]) -> np.ndarray[Any, Any]:
    """Return the place of each border in a quantised row, as CatBoost packs them.

    A place is of four bytes: that of the column, a mask, and the number of the border from 1 on.
    """
    found: list[np.ndarray[Any, Any]] = []
    bucket, last = 0, -1
    for column in columns:
        index = column.integer(2, -1)
        if not last < index < MOST_COLUMNS or not 0 <= column.integer(1, -1) <= index:
            raise ValueError("its columns are not in order")
        last = index
        borders = column.array(3, "<f4")
        if not (np.diff(borders) > 0).all() or np.isnan(borders).any():
            raise ValueError("the borders of a column are not in order")
        numbers = np.arange(len(borders), dtype="i8")
        buckets = bucket + numbers // _PER_BIN
        if buckets.size and buckets[-1] >= 2**16:
            raise ValueError("it has too many borders")
        found.append(buckets + ((numbers % _PER_BIN + 1) << 24))
        bucket += -(-len(borders) // _PER_BIN)
    return np.concatenate(found) if found else np.zeros(0, "i8")


def _check_trees(trees: FlatTable, places: np.ndarray[Any, Any], outputs: int) -> None:
    splits, sizes = trees.array(_SPLITS, "<i4"), trees.array(_SIZES, "<i4").astype("i8")
    starts, values = trees.array(_STARTS, "<i4"), trees.array(_VALUES, "<f8")
    if len(sizes) > MOST_TREES or (sizes < 0).any() or sizes.sum() != len(splits):
        raise ValueError("its sizes do not divide its splits")
    if len(starts) != len(sizes) or (starts != np.cumsum(sizes) - sizes).any():
        raise ValueError("its trees do not begin where they should")
    if splits.size and (splits.min() < 0 or splits.max() >= len(places)):
        raise ValueError("a split asks for a border that there is not")
    repacked = trees.array(_REPACKED, "<u4").astype("i8")
    if len(repacked) != len(splits) or (splits.size and (repacked != places[splits]).any()):
        raise ValueError("its splits lie elsewhere in a row than their borders")
    steps = trees.array(_STEPS, "<u4")
    if not len(steps):
        if len(trees.array(_LEAVES, "<u4")):  # by which CatBoost would walk along steps
            raise ValueError("it has the leaves of steps, and no steps")
        if sizes.size and sizes.max() > _DEEPEST:
            raise ValueError("a tree is too deep")
        if int((2**sizes).sum()) * outputs != len(values):
            raise ValueError("it does not hold a value for each leaf")
        return
    _check_steps(trees, steps, sizes, values, outputs)


def _check_steps(
    trees: FlatTable,
    steps: np.ndarray[Any, Any],
    sizes: np.ndarray[Any, Any],
    values: np.ndarray[Any, Any],
    outputs: int,
) -> None:
    """Check trees that are not symmetric: steps lead forward, inside their tree, to leaves."""
    leaves = trees.array(_LEAVES, "<u4").astype("i8")
    ends = np.repeat(np.cumsum(sizes), sizes)
    if len(steps) != len(ends) or len(leaves) != len(steps):
        raise ValueError("its steps are not one for each node")
    here = np.arange(len(steps))
    left, right = (steps & 0xFFFF).astype("i8"), (steps >> 16).astype("i8")
    if (here + np.maximum(left, right) >= ends).any():
        raise ValueError("a step leads out of its tree")
    ending = (left == 0) | (right == 0)
    if (leaves[ending] == _NO_LEAF).any() or (leaves[ending] + outputs > len(values)).any():
        raise ValueError("a leaf lies outside")
