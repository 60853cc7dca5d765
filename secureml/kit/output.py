"""The output of commands, for a plugin with ``commands()``: text, and with ``--json`` JSON.

Needed by each command that prints: `json_option` for the flag, `emit` for what it found,
`record_line` for a stored record. A fault is one line on stderr either way, for scripts it is
``{"error": ...}``. Words that make no sense and bad settings end with code 2, all else with 1. A
store that cannot be asked or a file that cannot be written is such a fault, and no traceback.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from secureml.config_error import ConfigError
from secureml.state.store import StoreUnavailable

__all__ = ["emit", "json_option", "record_line"]

Command = TypeVar("Command", bound=Callable[..., Any])
_HIDDEN = frozenset(
    {"seq", "time", "event", "mac", "facts", "id", "client", "status", "code", "inputs"}
)


def json_option(command: Command) -> Command:
    """Give a command the flag ``--json``, as the parameter ``as_json``; its faults follow it."""

    @functools.wraps(command)
    def command_with_json(*args: Any, as_json: bool, **options: Any) -> Any:
        try:
            return command(*args, as_json=as_json, **options)
        except BrokenPipeError:
            raise  # the reader of the pipe has ended; main ends the program
        except (click.ClickException, StoreUnavailable, OSError) as error:
            fault = error if isinstance(error, click.ClickException) else _fault(error)
            if not as_json:
                raise fault from None
            print_error(fault, as_json)
            raise click.exceptions.Exit(fault.exit_code) from None

    offer = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
    return offer(command_with_json)  # type: ignore[return-value]  # the same call, with a flag of its own


def print_error(error: Exception, as_json: bool) -> int:
    """Print why a command did not do its work, in one line; return its exit code."""
    fault = error if isinstance(error, click.ClickException) else _fault(error)
    text = " ".join(fault.format_message().split())
    if as_json:
        click.echo(json.dumps({"error": text}), err=True)
        return fault.exit_code
    if isinstance(fault, click.UsageError) and fault.ctx is not None:
        stop = "" if text.endswith((".", "?", "!")) else "."
        text = f"{text}{stop} See: {fault.ctx.command_path} --help"
    click.echo(f"secureml: {text}" if isinstance(fault, _Setting) else f"Error: {text}", err=True)
    return fault.exit_code


class _Setting(click.ClickException):
    """A start that must not happen."""

    exit_code = 2


def _fault(error: Exception) -> click.ClickException:
    if isinstance(error, ConfigError):
        return _Setting(str(error))
    if isinstance(error, OSError) and error.filename is not None:
        return click.ClickException(f"{error.strerror}: {error.filename}")
    return click.ClickException(" ".join(str(error).split()))


def emit(data: Any, as_json: bool, text: str) -> None:
    """Print ``data`` as JSON when scripts ask, else ``text``."""
    click.echo(json.dumps(data, indent=1) if as_json else text)


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
