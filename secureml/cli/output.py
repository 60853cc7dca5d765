"""One way for commands to speak: text for people, and with ``--json`` JSON for scripts.

A fault is one line on stderr and exit code 1 either way; for scripts it is
``{"error": ...}``. A store that cannot be asked is such a fault, and no traceback.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from secureml.state.store import StoreUnavailable

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Give a command the flag ``--json``, as the parameter ``as_json``; its faults follow it."""

    @functools.wraps(command)
    def spoken(*args: Any, as_json: bool, **options: Any) -> Any:
        try:
            return command(*args, as_json=as_json, **options)
        except (click.ClickException, StoreUnavailable) as error:
            fault = error if isinstance(error, click.ClickException) else _one_line(error)
            if not as_json:
                raise fault from None
            click.echo(json.dumps({"error": fault.format_message()}), err=True)
            raise click.exceptions.Exit(fault.exit_code) from None

    offer = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
    return offer(spoken)  # type: ignore[return-value]  # the same call, with a flag of its own


def _one_line(error: Exception) -> click.ClickException:
    return click.ClickException(" ".join(str(error).split()))


def emit(data: Any, as_json: bool, text: str) -> None:
    """Print ``data`` as JSON when scripts ask, else ``text``."""
    click.echo(json.dumps(data, indent=1) if as_json else text)
