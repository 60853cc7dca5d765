"""A model in ONNX with the methods of a scikit-learn estimator, answered by onnxruntime.

It takes one input of rows and columns, or an input for each column, and answers in one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from secureml.models.boosters import onnx_content
from secureml.models.boosters.refusal import not_served

_LIBRARY = "ONNX"
_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}
_LABELS = ("tensor(int64)", "tensor(string)")


class _OnnxModel(BaseEstimator):
    """What both kinds have: the bytes, a session over them, and the columns it takes."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content

    def open(self) -> None:
        """Have onnxruntime read the checked bytes."""
        self._session = session_of(self.content)
        self._inputs = [(each.name, _dtype(each)) for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._by_column = _takes_columns(self._session.get_inputs())
        if self._by_column:
            self.n_features_in_ = len(self._inputs)
            self.feature_names_in_ = np.array([name for name, _ in self._inputs], dtype=object)
        else:
            self.n_features_in_ = int(self._session.get_inputs()[0].shape[1])

    def _asked(self, rows: Any, outputs: list[str]) -> list[Any]:
        if self._by_column:
            given = {
                name: _column(rows, place).astype(dtype).reshape(-1, 1)
                for place, (name, dtype) in enumerate(self._inputs)
            }
        else:
            ((name, dtype),) = self._inputs
            given = {name: np.ascontiguousarray(rows, dtype=dtype)}
        found: list[Any] = self._session.run(outputs, given)
        return found

    def predict(self, rows: Any) -> np.ndarray[Any, Any]:
        """Return the first output, of the shape (rows,) or (rows, outputs)."""
        found = np.asarray(self._asked(rows, self._outputs[:1])[0])
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


class OnnxRegressor(RegressorMixin, _OnnxModel):
    """A model whose first output is numbers."""


class OnnxClassifier(ClassifierMixin, _OnnxModel):
    """A model whose first output is labels and whose second is their probabilities."""

    classes_: np.ndarray[Any, Any]

    def predict_proba(self, rows: Any) -> np.ndarray[Any, Any]:
        """Return the probabilities of each row, in the order of ``classes_``."""
        found = self._asked(rows, self._outputs[1:2])[0]
        if type(found) is list:  # one dictionary a row, by label
            return np.array([[row[label] for label in self.classes_.tolist()] for row in found])
        return np.asarray(found)


def session_of(content: bytes) -> Any:
    """Return a session of onnxruntime that works in the thread that asks it."""
    try:
        import onnxruntime  # noqa: PLC0415 - an extra, imported where a model needs it
    except ImportError:
        raise not_served(
            _LIBRARY,
            "needs onnxruntime, which is not installed here",
            "script/extras onnx",
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            content, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise not_served(
            _LIBRARY, f"is refused by onnxruntime ({reason})", "export it again for this version"
        ) from error


def model_of(content: bytes) -> Any:
    """Return the model in the bytes of an ONNX file; raises ModelRefused."""
    facts = onnx_content.check(content)
    session = session_of(content)
    _check_inputs(session.get_inputs())
    outputs = session.get_outputs()
    if len(outputs) < 2 or outputs[0].type not in _LABELS:
        return _opened(OnnxRegressor(content))
    if facts.labels is None:
        raise not_served(
            _LIBRARY,
            "answers labels and does not say which there are",
            "convert it with skl2onnx, or have it answer numbers alone",
        )
    model = OnnxClassifier(content)
    model.classes_ = np.array(facts.labels)
    return _opened(model)


def _opened(model: _OnnxModel) -> _OnnxModel:
    model.open()
    return model


def _check_inputs(inputs: Any) -> None:
    strange = [each.name for each in inputs if each.type not in _DTYPES]
    plain = _takes_columns(inputs) or (
        len(inputs) == 1 and len(inputs[0].shape) == 2 and type(inputs[0].shape[1]) is int
    )
    if strange or not plain:
        shapes = ", ".join(f"{each.name[:40]!r} {each.type} {each.shape}" for each in inputs[:5])
        raise not_served(
            _LIBRARY,
            f"takes {shapes}",
            "export it with one input of the shape [None, columns], or one of [None, 1] for each "
            "column",
        )


def _takes_columns(inputs: Any) -> bool:
    several = len(inputs) > 1 or inputs[0].type == "tensor(string)"
    return several and all(len(each.shape) == 2 and each.shape[1] == 1 for each in inputs)


def _dtype(given: Any) -> Any:
    return _DTYPES[given.type]


def _column(rows: Any, place: int) -> np.ndarray[Any, Any]:
    found = rows.iloc[:, place].to_numpy() if hasattr(rows, "iloc") else rows[:, place]
    return np.asarray(found)
