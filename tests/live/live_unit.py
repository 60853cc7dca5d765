"""What systemd does with deploy/systemd: the commands of the units, without systemd.

The socket is made as the socket unit says and held here, as systemd holds it; the commands are
those of the service unit, read from it, with the paths of this checkout.
"""

from __future__ import annotations

import os
import re
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from live_servers import CHECKOUT
from live_serving import alive, children, command, until

if TYPE_CHECKING:
    from pathlib import Path

UNITS = CHECKOUT / "deploy" / "systemd"
# As systemd passes a socket on (sd_listen_fds(3)): as descriptor 3, with the pid it is for.
PASS_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


def lines(unit: str, key: str) -> list[str]:
    """Return the values of a key of a unit, in order."""
    return re.findall(rf"^{key}=(.+)$", (UNITS / unit).read_text("utf-8"), re.MULTILINE)


class Unit:
    """secureml.service and its socket, over an instance folder."""

    def __init__(self, instance: Path) -> None:
        self.instance, self.path = instance, instance / "run" / "unit.sock"
        self.main = 0  # as systemd knows it: who was started, or who said to be it since
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen(int(lines("secureml.socket", "Backlog")[0]))
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(instance / "run" / "notify.sock"))
        self._notices.settimeout(60)
        self._pids: set[int] = set()
        self._environment = os.environ | {
            "SECUREML_INSTANCE": str(instance),
            "NOTIFY_SOCKET": str(instance / "run" / "notify.sock"),
        }
        self.log = instance / "unit.log"

    def _command(self, line: str) -> list[str]:
        line = line.removeprefix("+")  # as root, which these tests need not be
        line = line.replace("/opt/secureml/.venv", sys.prefix)
        line = line.replace("/opt/secureml", str(CHECKOUT))
        return shlex.split(line.replace("$MAINPID", str(self.main)))

    def start(self) -> None:
        """Run ExecStart and wait until it says that it is ready."""
        (line,) = lines("secureml.service", "ExecStart")
        passing = [sys.executable, "-c", PASS_ON, str(self._socket.fileno())]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                passing + self._command(line), cwd=CHECKOUT, env=self._environment,
                pass_fds=[self._socket.fileno()], stdout=log, stderr=log,
            )  # fmt: skip
        threading.Thread(target=process.wait, daemon=True).start()  # bury it
        self.main = process.pid
        self._pids.add(self.main)
        if not self._noticed("READY=1"):
            self.stop()
            pytest.fail(f"the service did not start: {self.log.read_text('utf-8')}")

    def reload(self) -> list[subprocess.CompletedProcess[str]]:
        """Run the commands of ExecReload, until one fails; return what came of each."""
        done: list[subprocess.CompletedProcess[str]] = []
        for line in lines("secureml.service", "ExecReload"):
            done.append(self.run(line))
            if done[-1].returncode:
                return done
        if self._noticed("MAINPID="):
            self._pids.add(self.main)
        return done

    def reload_by_command(self) -> None:
        """Run `secureml reload` and follow to the new master."""
        done = command(self.instance, "reload")
        assert done.returncode == 0, done.stderr
        assert self._noticed("MAINPID=")
        self._pids.add(self.main)

    def hang_up(self) -> None:
        """Send SIGHUP to the master and wait for the new one to take over."""
        before = self.main
        successor_of = runpy.run_path(str(CHECKOUT / "deploy/reload_gunicorn.py"))["successor_of"]

        def is_heard() -> bool:  # a master that has only just taken over pays no heed
            os.kill(before, signal.SIGHUP)
            return until(lambda: successor_of(before) is not None, 3)

        assert until(is_heard, 60)
        assert self._noticed("MAINPID=")
        self._pids.add(self.main)
        assert until(lambda: not alive(before), 60)

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one command as the unit would."""
        return subprocess.run(
            self._command(line), cwd=CHECKOUT, env=self._environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def restart(self) -> None:
        """Stop the service, wait for its end, and start it again; the socket stays."""
        self._end(self.main)
        self.start()

    def workers(self) -> list[int]:
        return sorted(children(self.main))

    def stop(self) -> None:
        """End whatever runs."""
        for pid in self._pids:
            self._end(pid)
        self._socket.close()
        self._notices.close()

    def _end(self, pid: int) -> None:
        below = children(pid)
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        ended = select.poll()  # `select` takes no descriptor above 1023
        ended.register(handle, select.POLLIN)
        gone = bool(ended.poll(40_000))
        if not gone:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        assert gone, "it did not end when it was told to"
        assert until(lambda: not any(map(alive, below)))

    def _noticed(self, word: str) -> bool:
        """Wait until the service says something; take down its main process as systemd does."""
        try:
            while True:
                said = self._notices.recv(4096).decode()
                if found := re.search(r"^MAINPID=(\d+)$", said, re.MULTILINE):
                    self.main = int(found[1])
                if word in said:
                    return True
        except TimeoutError:
            return False
