"""Access log: one JSON line a request, for people and machines alike.

Stands in RECORD and is not vital: a full disk must not stop answers for want of this
line (the audit log is there for that). The file is reopened when logrotate moves it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from marshmallow import Schema
from pythonjsonlogger.json import JsonFormatter

from secureml import Exchange, Host, Plugin, fields

from .line import line


class Config(Schema):
    """The ``[plugins.access_log]`` table."""

    file = fields.InstancePath(
        load_default="logs/access.log",
        metadata={"description": "Where lines go, inside the instance folder; `-` is stderr."},
    )


class AccessLog(Plugin):
    """Writes the line when the answer is final."""

    name = "access_log"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        # A logger of our own instance, not a named one: two apps in a process share nothing.
        self._logger = logging.Logger("secureml.access", logging.INFO)
        handler = _handler(config["file"], host.instance)
        handler.setFormatter(JsonFormatter("", json_ensure_ascii=True))
        self._logger.addHandler(handler)

    def record(self, exchange: Exchange) -> None:
        """Write down what was asked, who asked, and what became of it."""
        self._logger.info("", extra=line(exchange))

    def close(self) -> None:
        """Release the file."""
        for handler in self._logger.handlers:
            handler.close()


def _handler(file: str, instance: Path) -> logging.Handler:
    if file == "-":
        return logging.StreamHandler()
    path = instance / file
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    path.touch(mode=0o640)  # names of clients are not for every user of the machine
    # delay: opened at the first line, in the worker, not in the process that forks.
    return WatchedFileHandler(path, delay=True, encoding="utf-8")
