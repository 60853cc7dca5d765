"""The models of an instance and the records of what is done to them, with settings or without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from secureml.cli.main import CommandContext

if TYPE_CHECKING:
    from secureml.models.serving.registry import Registry


@contextlib.contextmanager
def undone(undo: Callable[[], None]) -> Iterator[None]:
    """Have everything as it was where what was done cannot be recorded."""
    try:
        yield
    except BaseException:
        undo()
        raise


def emit_event(context: CommandContext, event: str, **facts: str) -> None:
    """Let records know; a machine that only seals keeps none."""
    if has_settings(context):
        context.emit(event, **facts)


def registry_of(context: CommandContext) -> Registry:
    """Return the registry, with the plugins that verify models where this machine has settings."""
    from secureml.models.serving.registry import Registry

    if has_settings(context):
        return context.core.models
    # Sealing works on a machine that serves nothing, too.
    return Registry(context.instance / "models")


def has_settings(context: CommandContext) -> bool:
    """Return whether this machine has settings; one that only seals has none."""
    return (context.instance / "secureml.toml").exists()
