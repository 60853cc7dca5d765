"""A row that the model cannot answer is the caller's to mend; all else is ours."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from secureml import Problem
from secureml.models.serving.result import ModelFailed
from secureml.pipeline.prediction import predict


def exchange(failure: ModelFailed | None, *, model: bool = True) -> Any:
    def answer(rows: Any) -> Any:
        if failure is not None:
            raise failure
        return len(rows)

    handle = SimpleNamespace(predict=answer) if model else None
    return SimpleNamespace(
        id="7", model=handle, model_name="iris", read_rows=lambda: np.zeros((3, 2))
    )


def test_the_models_answer_to_the_rows_is_returned():
    assert predict(exchange(None)) == 3


def test_a_row_that_cannot_be_answered_is_named():
    with pytest.raises(Problem) as wrong:
        predict(exchange(ModelFailed("raised.ValueError", 2)))
    assert (wrong.value.code, wrong.value.reason) == ("invalid_input", "model.raised.ValueError")
    assert wrong.value.errors == (("/instances/2", "unanswerable"),)


def test_a_model_that_answers_nothing_has_failed():
    with pytest.raises(ModelFailed):
        predict(exchange(ModelFailed("not_finite")))
    with pytest.raises(RuntimeError, match="iris"):
        predict(exchange(None, model=False))
