"""The largest body that is let in, held against the memory of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from secureml.config_error import ConfigError
from secureml.models.rows.row_size import row_bytes
from secureml.settings_schema import LARGEST_BODY

if TYPE_CHECKING:
    from secureml.models.card import Card
    from secureml.settings import Settings

# Bytes of memory for each byte of a body while it is read: an object with one empty name takes five
# bytes of JSON and 184 of memory, a list in a list two and 72; and the body itself is there too.
PER_BYTE = 40


def machine() -> int:
    """Return the memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def largest(settings: Settings, memory: Callable[[], int] = machine) -> int:
    """Return the most bytes that a body may have for a model's sake."""
    fits = memory() // (settings.threads * PER_BYTE)
    return max(settings.body_limit, min(LARGEST_BODY, fits))


def of_models(settings: Settings, cards: Iterable[Card]) -> int:
    """Return the largest body that is let in where models of these cards are served."""
    needed = (settings.limits.model_rows * row_bytes(card) for card in cards)
    return max(settings.body_limit, min(largest(settings), max(needed, default=0)))


def check(settings: Settings, memory: Callable[[], int] = machine) -> None:
    """Raise ConfigError where the largest bodies, one for each thread, would not fit."""
    needed, there = settings.body_limit * settings.threads * PER_BYTE, memory()
    if needed <= there:
        return
    fits = there // (settings.threads * PER_BYTE) // 1024
    raise ConfigError(
        f"{settings.threads} threads may each read a body of {settings.body_limit} "
        f"bytes: together up to {needed // 1024**2} MiB of memory, and this machine "
        f"has {there // 1024**2} MiB",
        file=settings.file,
        table="payload",
        key="body",
        fix=(
            f'"{fits}KiB" at most, or fewer workers or threads in [server]; then write '
            "application.conf again: `secureml nginx-conf`"
        ),
    )
