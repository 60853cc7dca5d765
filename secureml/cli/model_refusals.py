"""What a refused model says, as the one line by which a command ends."""

from __future__ import annotations

import functools
from typing import Any

import click

from secureml.kit.output import Command


def with_refusals(command: Command) -> Command:
    """Have a command end with what a refused model says, in its one line."""

    @functools.wraps(command)
    def ending(*args: Any, **words: Any) -> Any:
        from secureml.models.artifact.version_files import ModelRefused

        try:
            return command(*args, **words)
        except ModelRefused as error:
            raise click.ClickException(str(error)) from None

    return ending  # type: ignore[return-value]  # the same call
