"""What an operator's own names may do, and what they may not."""

from __future__ import annotations

import io
import sys
from collections import OrderedDict, defaultdict
from dataclasses import dataclass

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.reader import load_estimator

HERE = __name__


class Clipper(TransformerMixin, BaseEstimator):
    """A transformer of one's own, with a function of NumPy in it."""

    def __init__(self, low=0.0, function=np.log1p):
        self.low, self.function = low, function

    def transform(self, rows):
        return self.function(np.maximum(rows, self.low))


@dataclass
class Facts:
    """State of one's own class, set by its own means."""

    a: int

    def __getstate__(self):
        return (self.a,)

    def __setstate__(self, state):
        (self.a,) = state


class Made:
    """An object that a function of one's own makes of plain data."""

    def __init__(self, *data):
        self.data = data

    def __reduce__(self):
        return make, self.data


def make(*data):
    return Made(*data)


def double(rows):
    return rows * 2


def load(thing, *own):
    written = io.BytesIO()
    joblib.dump(thing, written)
    return load_estimator(written.getvalue(), builtin_names() | {f"{HERE}.{name}" for name in own})


def test_a_class_of_ones_own_loads_once_it_is_named():
    assert load(make_pipeline(Clipper(2.0), LogisticRegression()), "Clipper")[0].low == 2.0
    with pytest.raises(ModelRefused, match="Clipper"):
        load(Clipper())


@pytest.mark.parametrize(
    ("source", "says", "fix"),
    [
        (None, "Python finds no module gone_of_building here", "PYTHONPATH=/path/to/folder"),
        ("", "the module gone_of_building here has no Gone", "at the same version"),
        ("import no_such_f", "importing gone_of_building raises ModuleNotFoundError", "see why"),
        ("1 / 0", "importing gone_of_building raises ZeroDivisionError", "see why"),
    ],
)
def test_what_cannot_be_had_is_told_with_the_reason(source, says, fix, tmp_path, monkeypatch):
    name = "gone_of_building"
    if source is not None:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(ModelRefused) as refused:
            load_estimator(b"\x80\x02c" + f"{name}\nGone\n.".encode(), frozenset({f"{name}.Gone"}))
    finally:
        sys.modules.pop(name, None)

    assert says in refused.value.message
    assert fix in refused.value.fix


def test_a_function_of_ones_own_may_stand_wherever_a_function_stands():
    assert load(FunctionTransformer(double), "double").func is double


def test_state_of_ones_own_kind_goes_through_ones_own_method():
    assert load({"a": Facts(3)}, "Facts")["a"].a == 3


@pytest.mark.parametrize(
    "data", [(1, "a", [2.5], {"b": (None,)}), (np.arange(3),), (Facts(1), np.float64(2))]
)
def test_a_function_of_ones_own_is_called_with_plain_data(data):
    assert repr(load([Made(*data)], "make", "Made", "Facts")[0].data) == repr(data)


@pytest.mark.parametrize("data", [(LogisticRegression(),), ([{"a": LogisticRegression()}],)])
def test_a_function_of_ones_own_is_not_called_with_what_else_the_file_holds(data):
    with pytest.raises(ModelRefused, match="with more than plain data"):
        load([Made(*data)], "make", "Made")


def test_an_alias_of_a_shipped_name_is_trusted_no_more_than_the_name():
    stream = b"\x80\x04csklearn.linear_model\nLogisticRegression\n)R."
    with pytest.raises(ModelRefused, match="may only be named"):
        load_estimator(stream, {*builtin_names(), "sklearn.linear_model.LogisticRegression"})


@pytest.mark.parametrize(
    "thing",
    [
        OrderedDict(a=1),
        defaultdict(int, a=1),
        {1, "a", (2, 3)},
        frozenset({1}),
        {(1, ("a", None)): 2, np.int64(3): 4, None: 5, 2.5: 6},
        slice(0, 3),
        range(3),
        complex(1, 2),
        bytearray(b"abc"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_values_of_every_kind_come_back(thing, protocol):
    written = io.BytesIO()
    joblib.dump([thing], written, protocol=protocol)
    found = load_estimator(written.getvalue(), builtin_names())[0]

    assert found == thing
    assert type(found) is type(thing)


def test_the_order_of_an_ordered_dict_is_kept():
    written = io.BytesIO()
    joblib.dump([OrderedDict(b=1, a=2)], written)
    found = load_estimator(written.getvalue(), builtin_names())[0]
    found.move_to_end("b")

    assert list(found) == ["a", "b"]


def test_a_bunch_stands_only_where_scikit_learn_keeps_one():
    model = LogisticRegression()
    model.named_estimators_ = Bunch(a=LogisticRegression())
    assert load(model).named_estimators_.a
    model.coef_ = model.named_estimators_
    with pytest.raises(ModelRefused, match="Bunch at LogisticRegression"):
        load(model)


def test_the_version_of_scikit_learn_is_text():
    written = io.BytesIO()
    joblib.dump(LogisticRegression(), written)
    place = b"X\x05\x00\x00\x001.9.1", b"\x8c\x051.9.1"
    data = written.getvalue()
    changed = data.replace(place[0], b"]").replace(place[1], b"]")
    assert changed != data
    with pytest.raises(ModelRefused, match="version that is not text"):
        load_estimator(changed, builtin_names())
