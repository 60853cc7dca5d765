"""The program's own log: one JSON object a line on stderr, so no line can pose as two.

Tracebacks stay inside the object, escaped; a request's id is in every line about it.
"""

from __future__ import annotations

import logging

from pythonjsonlogger.json import JsonFormatter

_FIELDS = "{asctime} {levelname} {name} {message}"


def configure(level: str) -> None:
    """Give the ``secureml`` logger its level and, once, its handler."""
    logger = logging.getLogger("secureml")
    logger.setLevel(level.upper())
    if any(isinstance(handler.formatter, JsonFormatter) for handler in logger.handlers):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            _FIELDS,
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logger.addHandler(handler)
