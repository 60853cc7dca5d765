"""Sealing from a notebook: the model and the table that are in memory become a sealed version.

    import secureml
    secureml.seal(model, X, y, name="churn", instance="instance")

The same as writing both to files and running ``secureml models seal``: the file is read by a
confined process, and everything that the command checks is checked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np

from secureml.cli.main import CommandContext
from secureml.cli.sealing import (
    Order,
    seal_as_ordered,
)
from secureml.models.sealing.memory_table import columns_in_memory
from secureml.models.sealing.typed_columns import TypedColumn, encode

if TYPE_CHECKING:
    from secureml.models.sealing.packaging import Sealed

_TARGETS = ("target", "answer", "y")


def seal(  # noqa: PLR0913 - each by its name
    model: Any,
    X: Any,  # noqa: N803 - as scikit-learn calls it
    y: Any = None,
    *,
    name: str,
    instance: str | Path | None = None,
    use: bool = False,
    allow: Collection[str] = (),
    types: Mapping[str, str] | None = None,
    missing: Mapping[str, str] | None = None,
    unknown: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    assess: bool = True,
) -> Sealed:
    """Seal a fitted estimator as the next version of ``name``; return the version and its card.

    ``X`` are the rows it was fitted on: a frame of pandas or polars, an array of the shape
    (rows, columns), a list of texts, or of objects of names and values; ``y`` their answers, of the
    shape (rows,), if any. The types of columns are kept.
    ``instance`` is the folder of the instance, by default SECUREML_INSTANCE or ``instance``.
    ``use`` has the version serve from the next start or reload, ``allow`` are exact names of
    classes of your own; ``types``, ``missing`` and ``unknown`` say of columns by name what the
    options of ``secureml models seal`` say; ``options`` are those of card sections, by plugin.
    Without ``assess`` the card does not say what the model gives away, and sealing is some seconds
    shorter.

    Raises ModelRefused where the model cannot be served, ConfigError where the settings or the
    sealing key cannot be read, ValueError where ``X`` is no table, ``y`` of another
    length, or ``model`` the name of a file.
    """
    if isinstance(model, (str, Path)):
        raise ValueError(  # noqa: TRY004 - the one that is announced
            "model is the name of a file, and not an estimator; fix: read the file first, or run "
            "`secureml models seal FILE`"
        )
    columns = columns_in_memory(X, getattr(model, "feature_names_in_", None))
    lengths = {len(column.cells) for column in columns.values()}
    if len(lengths) != 1:
        raise ValueError("X has columns of several lengths")
    target = _add_answers(columns, y, lengths.pop())
    context = CommandContext(None if instance is None else str(instance))
    said = {"types": types, "missing": missing, "unknown": unknown}
    with tempfile.TemporaryDirectory() as folder:
        file, table = Path(folder, f"{name}.joblib"), Path(folder, "X")
        joblib.dump(model, file)
        table.write_bytes(encode(columns))
        order = Order(file, name, table, target, allow=frozenset(allow), use=use, assess=assess)
        order = _with_said(order, said, options or {})
        try:
            return seal_as_ordered(context, order)
        finally:
            if "core" in vars(context):
                context.core.close()


def _with_said(
    order: Order,
    said: Mapping[str, Mapping[str, str] | None],
    options: Mapping[str, Mapping[str, Any]],
) -> Order:
    columns: dict[str, Any] = {word: dict(found or {}) for word, found in said.items()}
    sections = {key: dict(given) for key, given in options.items()}
    return replace(order, **columns, options=sections)


def _add_answers(columns: dict[str, TypedColumn], answers: Any, length: int) -> str | None:
    """Add the answers as a column, and return its name; several a row are not needed."""
    if answers is None:
        return None
    if len(answers) != length:
        raise ValueError(f"X has {length} rows and y has {len(answers)}")
    if np.ndim(answers) != 1:
        return None
    given = getattr(answers, "name", None)
    names = [*([given] if isinstance(given, str) and given else []), *_TARGETS]
    target: str = next(name for name in [*names, "answer of the row"] if name not in columns)
    columns[target] = TypedColumn([str(each) for each in answers], "str")  # never looked at
    return target
