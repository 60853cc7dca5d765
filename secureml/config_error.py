"""The one exception that stops the start: a single line with file, table, key and fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? `` for the nearest of the known words, or "" where none is near.

    It stands at the beginning of a fix.
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


class ConfigError(Exception):
    """The app must not start; one line that names file, table, key and the fix."""

    def __init__(
        self, message: str, *, table: str = "", key: str = "", fix: str = "", file: str = ""
    ) -> None:
        place = f"[{table}]" if table else ""
        if key:
            place = f"{place} {key}".strip()
        line = ": ".join(part for part in (file, place, message) if part)
        if fix:
            line = f"{line}; fix: {fix}"
        super().__init__(" ".join(line.split()))
        self.message, self.table, self.key, self.fix, self.file = message, table, key, fix, file

    def within(self, *, file: str = "", table: str = "") -> ConfigError:
        """Return the same fault with the place filled in where it was not known yet."""
        return ConfigError(
            self.message,
            table=self.table or table,
            key=self.key,
            fix=self.fix,
            file=self.file or file,
        )
