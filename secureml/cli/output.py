"""One way for commands to speak: text for people, and with ``--json`` JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Give a command the flag ``--json``, as the parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def emit(data: Any, as_json: bool, text: str) -> None:
    """Print ``data`` as JSON when scripts ask, else ``text``."""
    click.echo(json.dumps(data, indent=1) if as_json else text)
