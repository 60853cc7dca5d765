"""Data forms of estimators, and forms that somebody has changed."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
from sklearn.dummy import DummyRegressor

from secureml.models.artifact import signature
from secureml.models.data_form.frame import read_frame, write_frame
from secureml.models.data_form.reader import read
from secureml.models.data_form.writer import write
from secureml.models.sealing import packaging
from secureml.models.sealing.confined_conversion import Source
from secureml.models.sealing.conversion import Conversion, convert
from secureml.models.unpickling.allowlist import builtin_names


def form_of(estimator: Any) -> bytes:
    """Return the data form of an estimator that needs built-in names alone."""
    file = io.BytesIO()
    write(estimator, file, allowed=builtin_names())
    return file.getvalue()


def estimator_of(form: bytes) -> Any:
    """Return the estimator that a data form describes."""
    return read(form, allowed=builtin_names())


def edited(form: bytes, edit: Callable[[list[Any]], object]) -> bytes:
    """Return a form whose nodes were changed."""
    frame, file = read_frame(memoryview(form), header_limit=2**26), io.BytesIO()
    edit(frame.nodes)
    write_frame(frame.nodes, frame.blocks, file)
    return file.getvalue()


def convert_here(conversion: Conversion, source: Source, result: Path) -> list[str]:
    """Convert in this process, without the two seconds that a confined child takes to start."""
    with os.fdopen(os.dup(source.model), "rb") as file, result.open("xb") as output:
        convert(conversion, file.read(), source.table, output)
    return []


def seal_constants(instance: Path, name: str, count: int) -> None:
    """Seal versions 1 to ``count`` into an instance folder; each answers its own number."""
    key = signature.read_private_key(instance / "keys" / "model-signing.key")
    place = packaging.SealTarget(instance / "models", key, time.time, convert=convert_here)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, count + 1):
            model = DummyRegressor(strategy="constant", constant=float(number))
            file = Path(folder) / "model.joblib"
            joblib.dump(model.fit([[0.0, 0.0]], [0.0]), file)
            packaging.seal(packaging.Order(file, name), place)
