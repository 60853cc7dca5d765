"""Handles over estimators that were never sealed, for tests of what answers."""

from __future__ import annotations

import io
from typing import Any

import joblib

from secureml.models.sealing.build_card import Subject, learn_model
from secureml.models.serving.handle import ModelHandle


def handle_of(estimator: Any) -> ModelHandle:
    """Return a handle over a copy of the estimator, as loading makes one."""
    file = io.BytesIO()
    joblib.dump(estimator, file)
    copy = joblib.load(io.BytesIO(file.getvalue()))
    card = learn_model(
        Subject("m", "1", "2026-01-01T00:00:00Z", digest="0" * 64, source_digest="1" * 64),
        copy,
        frozenset(),
        data=None,
    ).card
    return ModelHandle(card, copy)
