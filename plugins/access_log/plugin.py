"""Access log: one JSON line a request, for people and machines alike.

Of many refusals of one subject the first have a line each, and the others one together.
Runs in RECORD and is not vital: a full disk must not stop answers for want of this
line (the audit log is there for that). The file is opened anew when logrotate has moved it,
and at SIGUSR1.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from marshmallow import Schema

from secureml import ConfigError, Event, Exchange, Host, Plugin
from secureml.kit import fields

from .formatter import LineFormatter
from .line import COUNTED, counted_line, line
from .line_file import MODE, LineFile


class Config(Schema):
    """The ``[plugins.access_log]`` table."""

    file = fields.InstancePath(
        load_default="logs/access.log",
        writes=fields.Writes(),
        metadata={"description": "Where lines go, inside the instance folder; `-` is stderr."},
    )


class AccessLog(Plugin):
    """Writes the line when the answer is final."""

    name = "access_log"
    concern = "access_log"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._now = host.now
        self._file = None if config["file"] == "-" else _file(config["file"], host)
        self._write: Callable[[str], None] = self._file.write if self._file else _to_stderr
        # Without a logger and its handlers: they cost five times as much as the line itself.
        self._format = LineFormatter().line

    def record(self, exchange: Exchange) -> None:
        """Write down what was asked, who asked, and what became of it."""
        if not exchange.counted:
            self._write(self._format(line(exchange)))

    def on_event(self, event: Event) -> None:
        """Write down the number of refused requests that got no line of their own."""
        if event.name == COUNTED:
            self._write(self._format(counted_line(event, self._now())))

    def start_worker(self, threads: int) -> None:
        """Open the file anew at SIGUSR1, as Gunicorn does with its own (and as Nginx does)."""
        del threads
        if self._file is None:
            return
        file, before = self._file, signal.getsignal(signal.SIGUSR1)

        def reopen(number: int, frame: FrameType | None) -> None:
            file.reopen()
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGUSR1, reopen)
        # Else it would break off whatever a request waits for.
        signal.siginterrupt(signal.SIGUSR1, False)  # noqa: FBT003 - it knows no names

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()


def _file(place: str, host: Host) -> LineFile:
    path = host.instance / place
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE))
    except OSError as error:
        raise ConfigError(
            f"{place} cannot be written ({type(error).__name__})",
            key="file",
            fix="check the owner and mode of its folder",
        ) from None
    return LineFile(path)


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
