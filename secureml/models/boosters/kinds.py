"""The classes whose numbers lie in a library of its own, and what is kept of each beside them.

Told by their full names: a library is imported only where a model needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from secureml.models.boosters import catboost_model, lightgbm_model, onnx_model, xgboost_model

_NOTHING: dict[str, Any] = {}


@dataclass(frozen=True)
class Booster:
    """How one class is written and read.

    ``content_of`` returns the bytes in the library's own format, checked; ``state_of`` plain
    values that are kept beside them; ``made`` makes the object of class, bytes and values;
    ``ready`` prepares one that a file has given its state.
    """

    content_of: Callable[[Any], bytes]
    state_of: Callable[[Any], Mapping[str, Any]]
    made: Callable[[Any, bytes, dict[str, Any]], Any]
    ready: Callable[[Any], None]


def _made_by_xgboost(kind: Any, content: bytes, state: dict[str, Any]) -> Any:
    _demand(state, {})
    return xgboost_model.booster_of(content)


def _made_by_lightgbm(kind: Any, content: bytes, state: dict[str, Any]) -> Any:
    _demand(state, {"best_iteration": (int,), "pandas_categorical": (list, type(None))})
    booster = lightgbm_model.booster_of(content)
    vars(booster).update(state)
    return booster


def _made_by_catboost(kind: Any, content: bytes, state: dict[str, Any]) -> Any:
    model = catboost_model.model_of(kind, content, state)
    _count_columns(model)
    return model


def _demand(state: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    if state.keys() != types.keys() or any(type(state[name]) not in types[name] for name in types):
        raise ValueError("what is kept beside the booster is not what is written of one")


def _kept_by_lightgbm(booster: Any) -> dict[str, Any]:
    return {
        "best_iteration": int(booster.best_iteration),
        "pandas_categorical": booster.pandas_categorical,
    }


def _kept_by_catboost(model: Any) -> dict[str, Any]:
    # What it was trained with and no answer needs: where to write to, and how much to say.
    left = ("verbose", "logging_level", "silent", "train_dir", "callbacks", "eval_metric")
    parameters = model.get_params()
    kept = {name: value for name, value in parameters.items() if name not in left}
    return {**kept, "thread_count": 1, "allow_writing_files": False}


def _ready_of_catboost(model: Any) -> None:
    catboost_model.use_one_thread()
    _count_columns(model)


def _count_columns(model: Any) -> None:
    # A model that was read says that it takes none.
    if model.is_fitted():
        model._n_features_in = len(model.feature_names_)  # noqa: SLF001 - nothing public sets it


def _made_by_onnx(kind: Any, content: bytes, state: dict[str, Any]) -> Any:
    _demand(state, {})
    model = onnx_model.model_of(content)
    if type(model) is not kind:
        raise ValueError(f"it is no {kind.__name__}")
    return model


_ONNX = Booster(
    lambda model: bytes(model.content),
    lambda model: _NOTHING,
    _made_by_onnx,
    lambda model: None,
)
_CATBOOST = Booster(
    catboost_model.content_of, _kept_by_catboost, _made_by_catboost, _ready_of_catboost
)
KINDS: dict[str, Booster] = {
    "xgboost.core.Booster": Booster(
        xgboost_model.content_of,
        lambda booster: _NOTHING,
        _made_by_xgboost,
        xgboost_model.use_one_thread,
    ),
    "lightgbm.basic.Booster": Booster(
        lightgbm_model.content_of, _kept_by_lightgbm, _made_by_lightgbm, lambda booster: None
    ),
    "catboost.core.CatBoostClassifier": _CATBOOST,
    "catboost.core.CatBoostRegressor": _CATBOOST,
    "secureml.models.boosters.onnx_model.OnnxClassifier": _ONNX,
    "secureml.models.boosters.onnx_model.OnnxRegressor": _ONNX,
}


def name_of(kind: type) -> str | None:
    """Return the full name of a class of a booster; None for any other class."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    return name if name in KINDS else None
