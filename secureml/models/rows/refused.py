"""Rows that a model cannot be asked; apart from their readers, for those who need no NumPy."""

from __future__ import annotations

Fault = tuple[str, str]


class RowsRefused(Exception):
    """Rows a model cannot be asked: at most twenty (path, rule) pairs, never a value."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults)
        self.faults = faults
