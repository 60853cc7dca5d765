"""One kept record as one line for a person at a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

_HIDDEN = frozenset(
    {"seq", "time", "event", "mac", "facts", "id", "client", "status", "code", "inputs"}
)


def record_line(record: Mapping[str, Any]) -> str:
    """Return a record for people; colours go where a terminal is, `click.echo` sees to that.

    What a terminal would take for a command is written out: a name cannot steer it.
    """
    fields = {**record, **(record.get("facts") or {})}
    visible = {name: value for name, value in fields.items() if name not in _HIDDEN}
    status = int(record.get("status") or 0)
    words = [
        click.style(str(record.get("time", "")), dim=True),
        click.style(_printable(status or "---"), fg=_colour(status), bold=status >= 400),
        click.style(_printable(record.get("event", "")), fg=_colour(status)),
        _printable(record.get("client") or "-"),
        _printable(record.get("code", "")),
        *(f"{_printable(k)}={_printable(v)}" for k, v in visible.items() if v not in ("", None)),
    ]
    return " ".join(filter(None, words))


def _colour(status: int) -> str | None:
    if status >= 400:
        return "red" if status >= 500 or status in (401, 403, 429) else "yellow"
    return "green" if status else "cyan"


def _printable(value: Any) -> str:
    words = value if isinstance(value, str) else json.dumps(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
