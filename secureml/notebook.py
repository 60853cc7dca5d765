"""Sealing from a notebook: the model and the table that are in memory become a sealed version.

    import secureml
    secureml.seal(model, X, y, name="churn", instance="instance")

The same as writing both to files and running ``secureml models seal``: the file is read by a
confined process, and everything that the command checks is checked.
"""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np

from secureml.cli.main import CommandContext
from secureml.cli.sealing import Order, seal_as_ordered
from secureml.models.sealing.estimator_shape import takes_texts

if TYPE_CHECKING:
    from secureml.models.sealing.packaging import Sealed

_FEW = 200  # distinct texts: more are no categories
_TARGETS = ("target", "answer", "y")


def seal(
    model: Any,
    X: Any,  # noqa: N803 - as scikit-learn calls it
    y: Any = None,
    *,
    name: str,
    instance: str | Path | None = None,
    use: bool = False,
    allow: Collection[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    assess: bool = True,
) -> Sealed:
    """Seal a fitted estimator as the next version of ``name``; return the version and its card.

    ``X`` are the rows it was fitted on: a pandas frame, an array of the shape
    (rows, columns), or a list of texts; ``y`` their answers, of the shape (rows,), if any.
    ``instance`` is the folder of the instance, by default SECUREML_INSTANCE or ``instance``.
    ``use`` has the version serve from the next start or reload, ``allow`` are exact names of
    classes of your own, ``options`` those of card sections, by plugin; without ``assess`` the card
    does not say what the model gives away, and sealing is some seconds shorter.

    Raises ModelRefused where the model cannot be served, ConfigError where the settings or the
    sealing key cannot be read, ValueError where ``X`` is no table or ``y`` of another length.
    """
    columns = _columns(X, model)
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) != 1:
        raise ValueError("X has columns of several lengths")
    target = _add_answers(columns, y, lengths.pop())
    context = CommandContext(None if instance is None else str(instance))
    dtypes = {} if takes_texts(model) else _dtypes(columns)
    dtypes.pop(target or "", None)  # the answers are no feature
    with tempfile.TemporaryDirectory() as folder:
        file, table = Path(folder, f"{name}.joblib"), Path(folder, "X.csv")
        joblib.dump(model, file)
        _write(table, columns)
        order = Order(
            file,
            name,
            table,
            target,
            allow=frozenset(allow),
            dtypes=dtypes,
            options={key: dict(given) for key, given in (options or {}).items()},
            use=use,
            assess=assess,
        )
        try:
            return seal_as_ordered(context, order)
        finally:
            if "core" in vars(context):
                context.core.close()


def _columns(table: Any, model: Any) -> dict[str, Sequence[Any]]:
    """Return the cells of a table by the names of its columns, in their order."""
    if hasattr(table, "columns") and hasattr(table, "__getitem__"):  # a frame
        names = [str(name) for name in table.columns]
        if len(set(names)) != len(names):
            raise ValueError("X has two columns of one name; fix: give each its own")
        return {str(name): list(table[name]) for name in table.columns}
    if isinstance(table, (list, tuple)) and table and all(isinstance(row, str) for row in table):
        return {"text": list(table)}
    array = np.asarray(table)
    if array.ndim == 1 and array.dtype.kind in "OU":
        return {"text": array.tolist()}
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise ValueError(f"X has the shape {array.shape}, which is no table of rows and columns")
    fitted = getattr(model, "feature_names_in_", None)
    if fitted is None or len(fitted) != array.shape[1]:
        fitted = [f"x{place}" for place in range(array.shape[1])]
    return dict(zip(map(str, fitted), array.T.tolist(), strict=True))


def _add_answers(columns: dict[str, Sequence[Any]], answers: Any, length: int) -> str | None:
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
    columns[target] = list(answers)
    return target


def _write(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*(_cells(cells) for cells in columns.values()), strict=True))


def _cells(values: Iterable[Any]) -> list[str]:
    return ["" if _is_missing(value) else _cell(value) for value in values]


def _cell(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    # The shortest text that is the very same number again.
    return repr(value) if isinstance(value, float) else str(value)


def _is_missing(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    # pandas has two of its own, which are equal to nothing, themselves included.
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _dtypes(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return what a file could not tell: which columns are text, whatever they look like."""
    return {name: _text_dtype(cells) for name, cells in columns.items() if _is_text(cells)}


def _is_text(cells: Iterable[Any]) -> bool:
    known = [value for value in cells if not _is_missing(value)]
    return bool(known) and all(isinstance(value, str) for value in known)


def _text_dtype(cells: Iterable[Any]) -> str:
    return "text" if len({cell for cell in cells if isinstance(cell, str)}) > _FEW else "category"
