"""The largest body that is let in, held against the memory of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from secureml.config_error import ConfigError

if TYPE_CHECKING:
    from secureml.settings import Settings

# Bytes of memory for each byte of a body while it is read: an object with one empty name takes five
# bytes of JSON and 184 of memory, a list in a list two and 72; and the body itself is there too.
PER_BYTE = 40


def machine() -> int:
    """Return the memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
