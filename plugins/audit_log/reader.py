"""Reading a chain for people and scripts: from a record on, filtered, as a table.

Knows no Flask and no SecureML.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import codec
from .segments import files, first_of

COLUMNS = (
    "seq", "time", "event", "id", "foreign_id", "address", "client", "subject", "credential",
    "auth", "method", "route", "status", "code", "phase", "plugin", "reason", "model", "version",
    "rows", "inputs", "observed", "facts", "mac",
)  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula (CWE-1236), the full-width forms too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, slots=True)
class Filter:
    """What to show; an empty word asks for nothing. ``since`` and ``until`` are RFC 3339."""

    client: str = ""
    event: str = ""
    code: str = ""
    id: str = ""
    since: str = ""
    until: str = ""

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Return whether a record is wanted; times compare as text, they are all UTC."""
        # Of refusals that were only counted the code is a fact of their number.
        said = {**(fields.get("facts") or {}), **fields}
        for name in ("client", "event", "code", "id"):
            wanted = getattr(self, name)
            if wanted and said.get(name) != wanted:
                return False
        time = str(fields.get("time", ""))
        return not (self.since and time < self.since) and not (self.until and time >= self.until)


class Reader:
    """Reads records from a number on; asked again from where it ended, it goes on there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._location: tuple[int, Path, int] | None = None

    def after(self, seq: int) -> Iterator[dict[str, Any]]:
        """Return the records after that number, in order; a line that is none is passed over."""
        found = files(self._folder)
        for index, path in enumerate(found):
            if index + 1 < len(found) and first_of(found[index + 1]) <= seq + 1:
                continue
            yield from self._file(path, seq)

    def _file(self, path: Path, seq: int) -> Iterator[dict[str, Any]]:
        known = self._location
        with path.open("rb") as file:
            if known is not None and known[0] == seq and known[1] == path:
                file.seek(known[2])
            for raw in file:
                if not raw.endswith(b"\n"):
                    return  # somebody is writing it
                found = codec.read(raw[:-1])
                self._location = (found.seq if found else seq, path, file.tell())
                if found is not None and found.seq > seq:
                    yield found.fields


def table(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Return CSV lines (RFC 4180), the names first; no cell begins like a formula."""
    for row in ([*COLUMNS], *([_cell(r.get(name, "")) for name in COLUMNS] for r in records)):
        made = io.StringIO()
        csv.writer(made, quoting=csv.QUOTE_ALL).writerow(row)
        yield made.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, dict | list):
        value = json.dumps(value, separators=(",", ":"))
    words = "" if value is None else str(value)
    if isinstance(value, int | float):
        return words
    # A lone surrogate is good JSON and cannot be written to a file of text.
    words = words.encode("utf-8", "backslashreplace").decode()
    return f"'{words}" if words.lstrip().startswith(_FORMULA) or words[:1] in _FORMULA else words
