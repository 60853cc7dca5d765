"""Types of click for command lines, and the one way in which commands write a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from marshmallow import ValidationError

from secureml.state import fields

Command = TypeVar("Command", bound=Callable[..., Any])


def format_time(seconds: float | None) -> str | None:
    """Return epoch seconds as RFC 3339 in UTC, to the second; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class ScopeName(click.ParamType[str]):
    """The name of a scope."""

    name = "scope"

    def convert(self, value: Any, param: object, ctx: object) -> str:
        """Return the name; raises BadParameter for a text that can be none."""
        try:
            return str(fields.Scope().deserialize(value))
        except ValidationError as error:
            raise click.BadParameter(f"{value[:80]!r}: {error.messages[0]}") from None


def scopes_option(words: str) -> Callable[[Command], Command]:
    """Return the option ``--scope`` that may be repeated; ``words`` is its help."""
    return click.option("--scope", "scopes", multiple=True, type=ScopeName(), help=words)


class Label(click.ParamType[str]):
    """A text for people, of up to ``longest`` printable characters; it may be empty."""

    name = "text"

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def convert(self, value: Any, param: object, ctx: object) -> str:
        """Return the text; raises BadParameter."""
        if len(value) > self._longest or not value.isprintable():
            raise click.BadParameter(f"this is up to {self._longest} printable characters")
        return str(value)


class Duration(click.ParamType[float]):
    """A duration such as 90d, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: object, ctx: object) -> float:
        """Return seconds; raises BadParameter."""
        try:
            return fields.seconds(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None


class DurationOrNever(click.ParamType[float | None]):
    """A duration such as 90d in seconds, or ``never``, which is None."""

    name = "duration"

    def convert(self, value: Any, param: object, ctx: object) -> float | None:
        """Return seconds or None; raises BadParameter."""
        return None if value == "never" else Duration().convert(value, param, ctx)


class Time(click.ParamType[float]):
    """A time such as 2026-01-31T12:00:00Z, ``now``, or a duration before now (2h); epoch seconds.

    A time without a zone is refused: the operator's and the server's need not be the same.
    ``clock`` returns epoch seconds. With ``past_only`` a time in the future is refused.
    """

    name = "time"

    def __init__(self, clock: Callable[[], float], *, past_only: bool = False) -> None:
        self._clock, self._past_only = clock, past_only

    def convert(self, value: Any, param: object, ctx: object) -> float:
        """Return epoch seconds; raises BadParameter."""
        now = self._clock()
        if value == "now":
            return now
        try:
            found = _epoch(value, now)
        except ValueError:
            raise click.BadParameter(
                f"{value[:40]!r} is not a time; fix: write 2026-01-31T12:00:00Z, 2h or now"
            ) from None
        if found is None:
            raise click.BadParameter("the time has no zone; fix: write 2026-01-31T12:00:00Z")
        if self._past_only and found > now:
            raise click.BadParameter("the time is in the future; fix: write an earlier one, or now")
        return found


def _epoch(text: str, now: float) -> float | None:
    """Return epoch seconds, None for a time without a zone; raises ValueError."""
    if "-" not in text:
        return now - fields.seconds(text)
    found = datetime.fromisoformat(text)
    return None if found.tzinfo is None else found.timestamp()
