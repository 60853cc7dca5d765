"""Tensors that are refused: where, by which rule, and under which code of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

LIMIT = 20
Fault = tuple[str, str]


class TensorsRefused(Exception):
    """A body that holds no rows a model could be asked about.

    ``faults`` are at most twenty (JSON pointer, rule), never a value; ``code`` is the core's, the
    one with which the same rows in JSON would be refused; ``word`` is for the log.
    """

    def __init__(
        self, word: str, faults: Sequence[Fault] = (), code: str = "invalid_input"
    ) -> None:
        super().__init__(word)
        self.word, self.faults, self.code = word, list(faults[:LIMIT]), code


def refused(path: str, rule: str) -> TensorsRefused:
    """Return the refusal of one place."""
    return TensorsRefused(rule, [(path, rule)])
