"""How a CSV file is written: separator, decimal sign and encoding, found out or stated.

Found by what fits: the separator by which the header and the rows below it have as many cells as
each other, the encoding by the mark at the beginning or by what can be decoded at all.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secureml.models.artifact.version_files import ModelRefused

# Options by which a person says what is otherwise found out.
OPTIONS = ("separator", "decimal", "encoding")
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_BY_NAME = {name: sign for sign, name in _SEPARATORS.items()}
_DECIMALS = {".": "point", ",": "comma"}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = ("utf-8-sig", "cp1252", "latin-1")
_TOLD = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16"}
_SAMPLE = 64 * 1024  # characters that the separator is found by
_COMMA_NUMBER = re.compile(r"[+-]?([0-9]+(,[0-9]*)?|,[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """How a file is written; ``decimal`` is None where its cells are still to tell."""

    separator: str
    decimal: str | None
    encoding: str

    def described(self) -> str:
        """Return the words by which an operator is told of it."""
        separator = _SEPARATORS.get(self.separator, repr(self.separator))
        decimal = _DECIMALS.get(self.decimal or ".", "")
        encoding = _TOLD.get(self.encoding, self.encoding)
        return f"{separator}, decimal {decimal}, {encoding}"

    @property
    def is_usual(self) -> bool:
        """Whether it is what any program writes: commas, points and UTF-8."""
        return (self.separator, self.decimal, self.encoding) == (",", ".", "utf-8-sig")

    def for_pandas(self) -> dict[str, Any]:
        """Return the arguments by which pandas.read_csv reads the same."""
        return {
            "sep": self.separator,
            "decimal": self.decimal or ".",
            "encoding": self.encoding,
        }


def find_dialect(content: bytes, stated: Mapping[str, str]) -> Dialect:
    """Return how a file is written; raises ModelRefused("card") where that cannot be read."""
    encoding = _encoding(content, stated.get("encoding"))
    separator = _stated_separator(stated.get("separator"))
    decimal = _stated_decimal(stated.get("decimal"))
    if separator is None:
        separator = _separator(_sample(content, encoding))
    if separator == "," and decimal is None:
        decimal = "."
    return Dialect(separator, decimal, encoding)


def with_points(columns: Mapping[str, list[str]], missing: frozenset[str]) -> dict[str, list[str]]:
    """Return columns in which numbers such as 1,5 are written as 1.5; others as they were."""
    return {
        name: [_with_point(cell) for cell in cells] if _mostly_numbers(cells, missing) else cells
        for name, cells in columns.items()
    }


def decimal_of(columns: Mapping[str, list[str]], missing: frozenset[str]) -> str:
    """Return the decimal sign of columns; raises ModelRefused where two are in use."""
    signs: dict[str, str] = {}
    for name, cells in columns.items():
        known = [cell for cell in cells if cell not in missing]
        if known and all(map(_COMMA_NUMBER.fullmatch, known)):
            if any("," in cell for cell in known):
                signs.setdefault(",", name)
        elif known and all(map(_COMMA_NUMBER.fullmatch, (c.replace(".", ",") for c in known))):
            signs.setdefault(".", name)
    if len(signs) > 1:
        raise _refuse(
            f"column {signs[',']!r} has numbers such as 1,5 and column {signs['.']!r} such as 1.5",
            "write all in one way, or say which is meant with --decimal",
        )
    return next(iter(signs), ".")


def _mostly_numbers(cells: list[str], missing: frozenset[str]) -> bool:
    known = [cell for cell in cells if cell not in missing]
    return 2 * sum(_COMMA_NUMBER.fullmatch(cell) is not None for cell in known) > len(known)


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _COMMA_NUMBER.fullmatch(cell) else cell


def _encoding(content: bytes, stated: str | None) -> str:
    if stated is None:
        found = next((name for mark, name in _MARKS if content.startswith(mark)), None)
        candidates = _GUESSES if found is None else (found,)
    else:
        candidates = ("utf-8-sig" if _is_utf8(stated) else stated,)
    for name in candidates:
        try:
            text = content.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
        if isinstance(text, str) and "\0" not in text[:_SAMPLE]:
            return name
    raise _refuse(
        f"the table cannot be read as text in {' or '.join(candidates)}",
        "say how it is written with --encoding (such as utf-16-le), or save it as CSV in UTF-8",
    )


def _is_utf8(stated: str) -> bool:
    try:
        return codecs.lookup(stated).name == "utf-8"
    except LookupError:
        raise _refuse(
            f"--encoding names {stated!r}, which Python does not know",
            "name one such as utf-8, utf-16, cp1252 or latin-1",
        ) from None


def _stated_separator(stated: str | None) -> str | None:
    if stated is None:
        return None
    found = _BY_NAME.get(stated, "\t" if stated == "\\t" else stated)
    if len(found) != 1 or found in '"\r\n':
        raise _refuse(
            f"--separator is {stated!r}, which is not one sign",
            f"name one of {', '.join(_BY_NAME)}, or the sign itself",
        )
    return found


def _stated_decimal(stated: str | None) -> str | None:
    if stated is None or stated in _DECIMALS:
        return stated
    for sign, name in _DECIMALS.items():
        if stated == name:
            return sign
    raise _refuse(f"--decimal is {stated!r}", "name point or comma, or the sign itself")


def _sample(content: bytes, encoding: str) -> str:
    """Return the first lines of a file, or what there is of the first one."""
    with io.TextIOWrapper(io.BytesIO(content), encoding, newline="") as text:
        sample = text.read(_SAMPLE)
    if len(sample) < _SAMPLE:
        return sample
    # The last line may be cut in two.
    return sample[: sample.rfind("\n") + 1] or sample


def _separator(sample: str) -> str:
    fitting: list[tuple[bool, int, str]] = []
    for sign in _SEPARATORS:
        widths = _widths(sample, sign)
        if widths and widths[0] > 1:
            fitting.append((len(set(widths)) == 1, widths[0], sign))
    if not fitting:
        return ","
    even = [(width, sign) for is_even, width, sign in fitting if is_even]
    # Where none fits, the header alone says it, and the row that does not fit is told of.
    among = even or [(width, sign) for _, width, sign in fitting]
    # max() keeps the first of equals: the comma.
    return max(among, key=lambda each: each[0])[1]


def _widths(sample: str, separator: str) -> list[int]:
    lines = csv.reader(io.StringIO(sample, newline=""), delimiter=separator)
    try:
        return [len(row) for row in itertools.islice(_rows(lines), 200)]
    except csv.Error:
        return []


def _rows(lines: Iterable[list[str]]) -> Iterable[list[str]]:
    return (row for row in lines if row)


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
