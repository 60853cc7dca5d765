"""Answers through our reader beside answers on the table as pandas reads it, row by row.

Golden rows are asked through the very reader they were learned with, so they cannot notice that
a model is given something else than it was fitted on. Here the table is read a second time, as
whoever trained the model most likely did, and every row must have the same answer both ways.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Card
from secureml.models.rows.reader import RowReader
from secureml.models.sealing.answers import Answers, add_answers, ask, first_unfit
from secureml.models.sealing.pandas_reading import PandasReading

_BATCH = 1000
_TOLERANCE = 1e-9  # what another order of summation may change
_TIE = 1e-6  # probabilities so close may fall either way
_MOST_COLUMNS = 12  # a refusal names no more


def compare_alone(card: Card, estimator: Any, rows: Sequence[Sequence[Any]]) -> None:
    """Refuse a model that answers a row otherwise alone than among others.

    Means, ranks or shifts over the rows of one request are of the request, not of the model.
    For code that is not scikit-learn's, whose own treats rows one by one.
    """
    read = RowReader(card).read
    whole = ask(card, estimator, read([list(row) for row in rows]))
    for index, row in enumerate(rows):
        shares = whole.probabilities
        among = Answers(
            whole.predictions[index : index + 1],
            None if shares is None else shares[index : index + 1],
        )
        alone = ask(card, estimator, read([list(row)]))
        if _first_difference(among, alone) is not None:
            raise _refuse(
                f"a row of the table is answered {_describe(alone, 0)} alone and "
                f"{_describe(among, 0)} among others",
                "a function of your own must treat rows one by one: learn means and the like in "
                "fit(), and use no random numbers in predict()",
            )


def compare(
    card: Card,
    estimator: Any,
    columns: Mapping[str, Sequence[Any]],
    reading: PandasReading | None,
) -> str:
    """Refuse a model that answers a row of its table otherwise than on pandas' reading of it.

    ``columns`` are the values as a client would send them; without ``reading`` nothing is read
    again.
    Every row must have an answer that JSON can carry, with pandas or without. Returns the SHA-256
    of all answers to the last bit, in hex. Raises ModelRefused("answers").
    """
    length = len(next(iter(columns.values())))
    table = None if reading is None else reading.rows(card, estimator)
    answers = hashlib.sha256()
    if table is not None and len(table) != length:
        raise _refuse(
            f"pandas reads {len(table)} rows of the table, and there are {length}",
            "take out what is not a row, such as lines of blanks",
        )
    read = RowReader(card).read
    for begin in range(0, length, _BATCH):
        part = slice(begin, begin + _BATCH)
        cells = [column[part] for column in columns.values()]
        rows_read = read([list(row) for row in zip(*cells, strict=True)])
        ours = _ask_ours(card, estimator, rows_read, begin)
        add_answers(answers, ours)
        if table is None:
            continue
        given = _rows(table, part)
        theirs = _ask_theirs(card, estimator, given)
        index = _first_difference(ours, theirs)
        if index is not None:
            raise _differs(card, begin + index, index, (ours, theirs), (rows_read, given))
    return answers.hexdigest()


def _rows(table: Any, part: slice) -> Any:
    return table[part] if isinstance(table, (np.ndarray, list)) else table.iloc[part]


def _ask_ours(card: Card, estimator: Any, rows_read: Any, begin: int) -> Answers:
    try:
        ours = ask(card, estimator, rows_read)
    except MemoryError:
        raise
    except Exception as error:
        row = begin + _first_that_raises(card, estimator, rows_read)
        raise _refuse(
            f"the model raises {type(error).__name__} on row {row + 1} of the table ({error}); "
            f"its columns are {_dtypes(card, rows_read)}",
            "give the table the model was fitted on; where a column was read with a dtype of its "
            "own, say so with --types COLUMN=TYPE",
        ) from error
    index = first_unfit(ours)
    if index is not None:
        raise _refuse(
            f"the answer to row {begin + index + 1} of the table is not one finite value, "
            "and JSON cannot carry it",
            "fit the model so that it answers finite numbers or labels",
        )
    return ours


def _first_that_raises(card: Card, estimator: Any, rows_read: Any) -> int:
    for index in range(len(rows_read)):
        try:
            ask(card, estimator, _rows(rows_read, slice(index, index + 1)))
        except Exception:  # noqa: BLE001 - whatever it is, it was caught once already
            return index
    return 0


def _ask_theirs(card: Card, estimator: Any, given: Any) -> Answers:
    try:
        return ask(card, estimator, given)
    except MemoryError:
        raise
    except Exception as error:
        raise _refuse(
            f"the model answers the rows as they are served, and raises {type(error).__name__} "
            f"on the table as pandas reads it ({error})",
            "give the table the model was fitted on; where a column was read with a dtype of its "
            "own, say so with --types COLUMN=TYPE",
        ) from error


def _first_difference(ours: Answers, theirs: Answers) -> int | None:
    same = _close(ours.predictions, theirs.predictions)
    same = same.reshape(len(same), -1).all(axis=1)
    if ours.probabilities is not None and theirs.probabilities is not None:
        shares = _close(ours.probabilities, theirs.probabilities)
        shares = shares.reshape(len(shares), -1).all(axis=1)
        # Equal probabilities and another label: a tie, which rounding decides.
        same = shares & (same | _near_tie(ours.probabilities))
    indices = np.flatnonzero(~same)
    return int(indices[0]) if indices.size else None


def _close(ours: Any, theirs: Any) -> Any:
    if ours.shape != theirs.shape:
        return np.zeros(len(ours), dtype=bool)
    if ours.dtype.kind in "fc" and theirs.dtype.kind in "fc":
        return np.isclose(ours, theirs, rtol=_TOLERANCE, atol=1e-12, equal_nan=True)
    return np.array([a == b for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)])


def _near_tie(shares: Any) -> Any:
    if shares.ndim != 2 or shares.shape[1] < 2:
        return np.zeros(len(shares), dtype=bool)
    top = np.partition(shares, -2, axis=1)
    return top[:, -1] - top[:, -2] < _TIE


def _differs(
    card: Card,
    row: int,
    index: int,
    answers: tuple[Answers, Answers],
    rows: tuple[Any, Any],
) -> ModelRefused:
    ours, theirs = (_describe(found, index) for found in answers)
    return _refuse(
        f"row {row + 1} of the table is answered {ours} as it is served and {theirs} as pandas "
        f"reads the table; columns, served and read: {_dtypes(card, *rows)}",
        "where the model was fitted on other dtypes than pandas reads, say so with "
        "--types COLUMN=TYPE; a function of your own must treat rows one by one",
    )


def _describe(found: Answers, index: int) -> str:
    answer = repr(found.predictions[index : index + 1].tolist()[0])
    if found.probabilities is None:
        return answer
    share = found.probabilities[index].max()
    return f"{answer} (probability {share:.4f})" if math.isfinite(share) else answer


def _dtypes(card: Card, *tables: Any) -> str:
    """Return each column with its dtype in each table; first those that differ."""
    names = [feature.name for feature in card.features]
    found = [_kinds(rows, len(names)) for rows in tables]
    kinds = [tuple(map(str, one)) for one in zip(*found, strict=True)]
    columns_described = [
        f"{name!r} {' and '.join(kind)}"
        for name, kind in sorted(
            zip(names, kinds, strict=True), key=lambda column: len(set(column[1])) == 1
        )
    ]
    more = (
        f" and {len(columns_described) - _MOST_COLUMNS} more"
        if len(columns_described) > _MOST_COLUMNS
        else ""
    )
    return ", ".join(columns_described[:_MOST_COLUMNS]) + more


def _kinds(rows: Any, width: int) -> list[Any]:
    if hasattr(rows, "dtypes"):
        return list(rows.dtypes)
    return [getattr(rows, "dtype", "object")] * width


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("answers", message, fix)
