"""The output of commands: text for people, and with ``--json`` JSON for scripts.

A fault is one line on stderr either way, for scripts it is ``{"error": ...}``. Words that
make no sense and bad settings end with code 2, all else with 1. A store that cannot be asked
or a file that cannot be written is such a fault, and no traceback.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from secureml.cli.record_line import record_line
from secureml.config_error import ConfigError
from secureml.state.store import StoreUnavailable

__all__ = ["emit", "json_option", "print_error", "record_line"]

Command = TypeVar("Command", bound=Callable[..., Any])


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
        text = f"{text} See: {fault.ctx.command_path} --help"
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
