"""What Gunicorn's configuration takes from the settings file, before the application is loaded.

The start of the application reads the whole file again and checks all of it. Here are only the
values that Gunicorn needs first; a fault in one of them stops it with the same single line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from secureml import settings
from secureml.config_error import ConfigError
from secureml.settings_schema import TABLES


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The ``[server]`` table, its file, and whether this is production.

    ``timeout`` is in seconds; ``bind`` is an address as Gunicorn writes it.
    """

    file: Path
    production: bool
    workers: int
    threads: int
    bind: str
    timeout: int


def read(instance: Path) -> ServerSettings:
    """Return the settings of Gunicorn for an instance; defaults where it has no settings file."""
    file = instance / settings.FILE
    try:
        tables = settings.read_toml(file) if file.exists() else {}
        table = _table(tables, "server")
        server = settings.load_table(TABLES["server"], table, "server")
    except ConfigError as error:
        stop(error.within(file=str(file)))
    root = tables.get("secureml")
    profile = root.get("profile", "production") if isinstance(root, dict) else "production"
    return ServerSettings(
        file,
        profile == "production",
        server["workers"],
        server["threads"],
        server["bind"] or f"unix:{instance}/run/gunicorn.sock",
        server["timeout"],
    )


def stop(error: ConfigError) -> NoReturn:
    """End the start with one line, as the application does."""
    sys.exit(f"secureml: {error}")


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise settings.not_a_table(name)
    return table
