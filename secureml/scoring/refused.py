"""Why a run stops, and why a row has no answer."""

from __future__ import annotations

from typing import Any, NamedTuple


class NotScored(Exception):
    """A run that cannot begin or continue: what is wrong and where, and what to do about it."""

    def __init__(self, message: str, fix: str) -> None:
        # Both as arguments: it travels back from worker processes.
        super().__init__(message, fix)
        self.message, self.fix = message, fix

    def __str__(self) -> str:
        return f"{self.message}; fix: {self.fix}"


class RowNote(NamedTuple):
    """What was found in a row: its place in the file, column ("" for several), code of the rule.

    ``place`` is a line of a CSV file or a row of a Parquet file, counted from 1. ``done`` is
    ``refused``, ``clipped`` or ``flagged``. Never a value.
    """

    place: int
    column: str
    code: str
    done: str

    def as_record(self, file: str, unit: str) -> dict[str, Any]:
        """Return the note as a line of the report has it; ``unit`` is ``line`` or ``row``."""
        return {
            "file": file,
            unit: self.place,
            "column": self.column,
            "code": self.code,
            "done": self.done,
        }
