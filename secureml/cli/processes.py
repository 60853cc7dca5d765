"""The processes `secureml serve` starts: none outlives the command, however it ends.

Each has a group of its own, so that Ctrl-C reaches this command alone and the servers are
stopped in order, the one that takes requests first.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
import time
from pathlib import Path

import click

from secureml.config_error import ConfigError

# Seconds a server may take to finish what it has begun: as long as Nginx waits for an answer.
GRACE = 35.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
# Looked up here: between fork and exec nothing may be done that could wait for a lock, because
# the maths libraries have started threads of their own by then.
_prctl = ctypes.CDLL(None).prctl


class Running:
    """The servers of this command, in the order they were started."""

    def __init__(self, folder: Path, instance: Path) -> None:
        self._folder, self._instance = folder, instance
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stops: list[signal.Signals] = []

    def start(self, command: list[str], stop: signal.Signals = signal.SIGTERM) -> None:
        """Start a server; it gets a signal to stop even if this command is killed.

        ``stop`` is the signal after which it finishes what it has begun.
        """
        # SIGINT as well: a shell that starts us in the background has it ignored.
        for number in _SIGNALS:
            signal.signal(number, _interrupt)
        environment = os.environ | {
            "SECUREML_INSTANCE": str(self._instance),
            "SECUREML_SERVE": "1",  # `secureml reload` cannot replace what we wait for
        }
        self._stops.append(stop)
        self._processes.append(
            subprocess.Popen(  # noqa: S603 - our own programs, no shell
                command,
                cwd=self._folder,
                env=environment,
                start_new_session=True,
                preexec_fn=functools.partial(_end_with_parent, stop),  # noqa: PLW1509 - one system call, no lock
            )
        )

    def ended(self) -> int | None:
        """Return the exit code of a server that has ended, None while all run."""
        return next(
            (code for process in self._processes if (code := process.poll()) is not None), None
        )

    def demand_start(self) -> None:
        """End this command with code 2 when a server ended before it was ready."""
        code = self.ended()
        if code is None:
            return
        if code < 0:
            raise ConfigError(
                f"a server process was ended by signal {-code} while it started",
                fix="look at the system's log; signal 9 usually means too little memory",
            )
        # It has said why, on stderr, in the one line that stops a start: ours would be a second.
        raise SystemExit(2)

    def watch(self) -> None:
        """Wait for as long as every server runs."""
        while (code := self.ended()) is None:
            time.sleep(0.5)
        raise click.ClickException(f"a server process ended unexpectedly with exit code {code}")

    def stop(self) -> None:
        """End them in reverse: the one that takes requests first."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # impatience must not leave one behind
        for process, stop in reversed(list(zip(self._processes, self._stops, strict=True))):
            if process.poll() is None:
                process.send_signal(stop)
            try:
                process.wait(timeout=GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent(stop: signal.Signals) -> None:
    """Have the kernel end a child with us, even where we are killed and cannot (prctl(2))."""
    _prctl(_PR_SET_PDEATHSIG, stop)
