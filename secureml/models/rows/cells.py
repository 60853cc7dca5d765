"""Rows read one cell at a time: for cards with more than plain numbers, and to find faults."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from secureml.kit.json_pointer import escape
from secureml.models.card import Card, Feature
from secureml.models.rows.dates import nothing, read_date
from secureml.models.rows.refused import Fault, RowsRefused
from secureml.models.rows.whole_numbers import bounds_of

LIMIT = 20
_NAN = float("nan")


class _WrongCell(Exception):
    """A cell that breaks a rule; the message is the rule's word."""


class CellReader:
    """Reads or refuses every cell by the card; slower than it need be for plain numbers."""

    def __init__(self, card: Card) -> None:
        self._names = tuple(feature.name for feature in card.features)
        self._known = frozenset(self._names)
        self._needed = tuple(f.name for f in card.features if f.missing == "refuse")
        exact = card.keeps_integers
        self._readers = tuple(_reader(feature, exact=exact) for feature in card.features)

    def read(self, instances: Any) -> list[list[Any]]:
        """Return the values in the card's order; raises RowsRefused."""
        if type(instances) is not list:
            raise RowsRefused([("/instances", "type")])
        if not instances:
            raise RowsRefused([("/instances", "empty")])
        faults: list[Fault] = []
        values = []
        for number, instance in enumerate(instances):
            values.append(self._row(instance, f"/instances/{number}", faults))
            if len(faults) >= LIMIT:
                break
        if faults:
            raise RowsRefused(faults[:LIMIT])
        return values

    def _row(self, instance: Any, path: str, faults: list[Fault]) -> list[Any]:
        if type(instance) is dict:
            return self._by_name(instance, path, faults)
        if type(instance) is not list:
            faults.append((path, "instance_type"))
        elif len(instance) != len(self._names):
            faults.append((path, "feature_count"))
        else:
            labels = [str(column) for column in range(len(instance))]
            return self._values(instance, labels, path, faults)
        return []

    def _by_name(self, instance: dict[str, Any], path: str, faults: list[Fault]) -> list[Any]:
        if not self._known.issuperset(instance):
            # The unknown name is the client's own text, so the path ends at its row.
            faults.append((path, "unknown_feature"))
        absent = [name for name in self._needed if name not in instance]
        faults.extend((f"{path}/{escape(name)}", "missing_feature") for name in absent[:LIMIT])
        if absent:
            return []
        labels = [escape(name) for name in self._names]
        return self._values([instance.get(name) for name in self._names], labels, path, faults)

    def _values(
        self, cells: list[Any], labels: list[str], path: str, faults: list[Fault]
    ) -> list[Any]:
        values = []
        for cell, reader, label in zip(cells, self._readers, labels, strict=True):
            try:
                values.append(reader(cell))
            except _WrongCell as wrong:
                faults.append((f"{path}/{label}", str(wrong)))
        return values


def _reader(feature: Feature, *, exact: bool) -> Callable[[Any], Any]:
    read = _READERS[feature.dtype](feature)
    allowed = feature.missing == "allow"
    if exact and feature.dtype == "integer" and not allowed and feature.categories is None:
        # With values missing the column is float64, as pandas has it.
        read = _whole_within(*bounds_of(feature))
    absent = nothing() if feature.dtype == "date" else _NAN

    def reader(cell: Any) -> Any:
        if cell is None:
            if allowed:
                return absent
            raise _WrongCell("missing_value")
        return read(cell)

    return reader


def _float(_: Feature) -> Callable[[Any], float]:
    return _number


def _integer(feature: Feature) -> Callable[[Any], float]:
    known = frozenset(feature.categories or ())

    def read(cell: Any) -> float:
        value = _number(cell)
        if not value.is_integer():
            raise _WrongCell("type")
        if known and feature.unknown == "refuse" and value not in known:
            raise _WrongCell("category")
        return value

    return read


def _whole_within(least: int, most: int) -> Callable[[Any], int]:
    def read(cell: Any) -> int:
        if not _number(cell).is_integer():
            raise _WrongCell("type")
        value = int(cell)
        if not least <= value <= most:
            # Training saw no more bits, so this lies beyond its range.
            raise _WrongCell("above_maximum" if value > 0 else "below_minimum")
        return value

    return read


def _number(cell: Any) -> float:
    if type(cell) is not float and type(cell) is not int:
        raise _WrongCell("type")
    try:
        value = float(cell)
    except OverflowError:
        raise _WrongCell("not_finite") from None
    if not math.isfinite(value):
        raise _WrongCell("not_finite")
    return value


def _boolean(_: Feature) -> Callable[[Any], bool]:
    def read(cell: Any) -> bool:
        if type(cell) is not bool:
            raise _WrongCell("type")
        return cell

    return read


def _text(_: Feature) -> Callable[[Any], str]:
    return _string


def _category(feature: Feature) -> Callable[[Any], str]:
    if feature.unknown == "allow":
        return _string
    known = frozenset(feature.categories or ())

    def read(cell: Any) -> str:
        if _string(cell) not in known:
            raise _WrongCell("category")
        return str(cell)

    return read


def _string(cell: Any) -> str:
    if type(cell) is not str:
        raise _WrongCell("type")
    return cell


def _date(_: Feature) -> Callable[[Any], Any]:
    def read(cell: Any) -> Any:
        try:
            return read_date(_string(cell))
        except ValueError:
            raise _WrongCell("date") from None

    return read


_READERS: dict[str, Callable[[Feature], Callable[[Any], Any]]] = {
    "float": _float,
    "integer": _integer,
    "boolean": _boolean,
    "text": _text,
    "category": _category,
    "date": _date,
}
