"""The tables of docs/failures.md as data, for the test that provokes and the one that demands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
_IN_A_PHASE = re.compile(r"^\| `(\w+)` \| `?(\w+)`? \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_ANYTHING = re.compile(
    r'^\| <a id="(\w+)"></a>([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$', re.MULTILINE
)


class InAPhase(NamedTuple):
    """A plugin that raises in a phase or in an extra."""

    plugin: str
    place: str
    caller: str
    consequence: str


class Anything(NamedTuple):
    """Something else that fails."""

    key: str
    what: str
    caller: str
    consequence: str
    shown_by: str


def _page() -> str:
    return (CHECKOUT / "docs" / "failures.md").read_text("utf-8")


def at_phases() -> list[InAPhase]:
    """Return the first table."""
    return [InAPhase(*row) for row in _IN_A_PHASE.findall(_page())]


def anything() -> list[Anything]:
    """Return the second table."""
    return [Anything(*map(str.strip, row)) for row in _ANYTHING.findall(_page())]


def answer_of(caller: str) -> tuple[int, str] | None:
    """Return the status and code a cell promises; (200, "") for an answer, None for no server."""
    if caller.startswith("nothing"):
        return None
    if caller.startswith("its answer"):
        return 200, ""
    status, code = re.findall(r"^(\d{3}) `(\w+)`", caller)[0]
    return int(status), code
