"""The columns of histogram boosting over categories: as many after its encoder as before.

It puts its rows through a ColumnTransformer of its own, and its compiled trees then read columns
of what comes out, unchecked. So that part must be exactly what scikit-learn builds there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from secureml.models.unpickling.fitted_numbers import Fitted
from secureml.models.unpickling.function_values import is_boosting_check
from secureml.models.unpickling.graph import attributes_of

_NAMES = ("encoder", "numerical")


def check_preprocessor(fitted: Fitted, columns: int) -> None:
    """Refuse an encoder that could give another number of columns; raises ModelRefused."""
    encoder = fitted.state.get("_preprocessor")
    if encoder is None:
        return
    fitted.demand(type(encoder) is ColumnTransformer, "_preprocessor", "is of a wrong type")
    own = Fitted(f"{fitted.kind}._preprocessor", attributes_of(encoder))
    own.demand(own.state.get("sparse_output_") is False, "sparse_output_", "is not false")
    own.demand(own.state.get("transformer_weights") is None, "transformer_weights", "is set")
    own.demand(
        own.state.get("_sklearn_output_config") == {"transform": "default"},
        "_sklearn_output_config", "is not the default",
    )  # fmt: skip
    steps: Any = own.state.get("transformers_")
    own.demand(_are_the_two(steps), "transformers_", "does not hold an encoder and a check")
    masks = [step[2] for step in steps[:2]]
    own.demand(all(_is_mask(mask, columns) for mask in masks), "transformers_", "has no columns")
    own.demand((masks[0] != masks[1]).all(), "transformers_", "leaves out columns, or doubles them")
    _check_labels(own, masks, columns)


def _are_the_two(steps: Any) -> bool:
    if type(steps) is not list or len(steps) not in (2, 3):
        return False
    if any(type(step) is not tuple or len(step) != 3 or type(step[0]) is not str for step in steps):
        return False
    if tuple(step[0] for step in steps[:2]) != _NAMES:
        return False
    rest = steps[2][1] if len(steps) == 3 else "drop"
    check = attributes_of(steps[1][1])
    return (
        type(rest) is str
        and rest == "drop"
        and type(steps[0][1]) is OrdinalEncoder
        and type(steps[1][1]) is FunctionTransformer
        and is_boosting_check(check.get("func"))
        and check.get("kw_args") is None
    )


def _is_mask(mask: Any, columns: int) -> bool:
    return type(mask) is np.ndarray and mask.dtype == np.dtype("?") and mask.shape == (columns,)


def _check_labels(own: Fitted, masks: list[Any], columns: int) -> None:
    """Hold the columns that are chosen by name to those that are chosen by place."""
    places: Any = own.state.get("_transformer_to_input_indices")
    own.demand(
        type(places) is dict
        and all(
            type(places.get(name)) is list and places[name] == np.flatnonzero(mask).tolist()
            for name, mask in zip(_NAMES, masks, strict=True)
        ),
        "_transformer_to_input_indices", "does not fit transformers_",
    )  # fmt: skip
    if own.has("feature_names_in_"):
        own.array("feature_names_in_", "OU", columns)
