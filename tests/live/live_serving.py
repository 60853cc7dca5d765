"""The whole application for real: an instance folder, and `secureml serve` over it.

Readiness is what the command itself prints; the end of a process is awaited on its file
descriptor. Everything started here is ended by its own pid.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import CHECKOUT, Answer, free_port

from plugins.api_keys.keyring import Keyring
from secureml.cli.demo import train
from secureml.state.clients import Clients
from secureml.state.store import Store
from tests.instance_copies import copy_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EACH_IN_FULL = "[recording]\nin_full = 1_000_000\n"
PREDICT = "/v1/models/breast-cancer/predict"


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `secureml ...` as an operator's script would."""
    run = [sys.executable, "-m", "secureml.cli", *words, "--instance", str(folder)]
    return subprocess.run(
        run, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )


def until(true: Callable[[], bool], seconds: float = 10) -> bool:
    """Tell whether something is so, or comes to be so in time."""
    deadline = time.monotonic() + seconds
    while not (so := true()) and time.monotonic() < deadline:
        select.select([], [], [], 0.02)
    return so


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """Return the pids a process has started and not buried."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid: int) -> list[int]:
    """Return every process below one."""
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]


class Instance:
    """An instance folder with a sealed model, and its clients and keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, folder: Path, model: Path, table: Path) -> Instance:
        seal = f"models seal {model} --name breast-cancer --data {table} --target target"
        for words in ("init", seal):
            done = command(folder, *words.split())
            assert done.returncode == 0, done.stderr
        # Tests look for the line of each request they make; see test_counted_refusals.
        with (folder / "secureml.toml").open("a") as settings:
            settings.write(f"\n{EACH_IN_FULL}")
        return cls(folder)

    def copy(self, folder: Path) -> Instance:
        """Return a copy that may be spoilt."""
        return Instance(copy_instance(self.folder, folder))

    def run(self, *words: str) -> Any:
        """Run a command that must succeed and return what it printed as JSON."""
        done = command(self.folder, *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def key(
        self,
        client: str,
        *,
        scopes: list[str] | None = None,
        models: list[str] | None = None,
        lifetime: float | None = None,
    ) -> str:
        """Add a client and issue it a key, in less time than a command takes."""
        store = Store(f"sqlite:///{self.folder / 'secureml.db'}")
        with closing(store):
            Clients(store, time.time).add(client, scopes=scopes, models=models)
            return Keyring(store, time.time).issue(client, lifetime=lifetime)[0].text


class Served:
    """`secureml serve` (or a script that becomes it) on a free port, and what it printed."""

    def __init__(self, instance: Path, *flags: str, start: list[str] | None = None) -> None:
        self.instance, self.port = instance, free_port()
        words = start or [sys.executable, "-m", "secureml.cli", "serve"]
        words = [*words, "--port", str(self.port), *flags]
        self.process = subprocess.Popen(
            words if start else [*words, "--instance", str(instance)],
            cwd=CHECKOUT, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.output, self._done, self._grew = "", False, threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._grew:
                self.output += line
                self._grew.notify_all()
        with self._grew:
            self._done = True
            self._grew.notify_all()

    def printed(self, pattern: str, seconds: float = 180) -> bool:
        """Tell whether a line has been printed, or is within three minutes."""
        found = re.compile(pattern, re.MULTILINE)
        with self._grew:
            self._grew.wait_for(lambda: found.search(self.output) or self._done, seconds)
            return found.search(self.output) is not None

    def ready(self) -> Served:
        if not self.printed(r"^authority .*\n"):
            self.stop()
            pytest.fail(f"secureml serve did not start: {self.output}")
        return self

    def workers(self) -> list[int]:
        """The pids of Gunicorn's two workers: one may be ready before the other is started."""
        gunicorn = next(pid for pid in children(self.process.pid) if _runs(pid, b"gunicorn"))
        until(lambda: len(children(gunicorn)) >= 2)
        return sorted(children(gunicorn))

    def processes(self) -> list[int]:
        """The pid of the command and of all below it, once both workers are started."""
        self.workers()
        return [self.process.pid, *descendants(self.process.pid)]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the command by a signal and return its exit code."""
        below = descendants(self.process.pid)
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(timeout=30)
        finally:
            for pid in [self.process.pid, *below]:
                if alive(pid) and not until(lambda pid=pid: not alive(pid)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    # -- asking ------------------------------------------------------------------------------

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection that verifies the server against the instance's authority."""
        trust = ssl.create_default_context(cafile=str(self.instance / "tls/ca.crt"))
        return http.client.HTTPSConnection("localhost", self.port, timeout=30, context=trust)

    def ask(self, method: str, path: str, key: str = "", body: Any = None, **words: str) -> Answer:
        """Send one request over a connection of its own."""
        with closing(self.connect()) as connection:
            return ask(connection, method, path, key, body, **words)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    key: str = "",
    body: Any = None,
    **more: str,
) -> Answer:
    """Send one request; a body that is not bytes goes as JSON."""
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if key:
        headers["X-API-Key"] = key
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return Answer(answer.status, answer.getheaders(), answer.read())


class UnixConnection(http.client.HTTPConnection):
    """HTTP straight to Gunicorn's socket, with what the bundled Nginx would say."""

    def __init__(self, instance: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = instance / "run/gunicorn.sock"
        self.edge = {
            "X_Forwarded_For": "127.0.0.1",
            "X_Forwarded_Proto": "https",
            "X_Forwarded_Host": "localhost",
            "X_SecureML_Edge": (instance / "keys/edge-token").read_text().strip(),
        }

    def connect(self) -> None:
        import socket

        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@contextmanager
def alone(worker: int, workers: list[int]) -> Iterator[None]:
    """Hold every other worker still, so that this one answers each new connection."""
    assert workers  # who holds nobody still would prove nothing
    others = [pid for pid in workers if pid != worker]
    try:
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        assert all(until(lambda pid=pid: _state(pid) == "T") for pid in others)
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _runs(pid: int, word: bytes) -> bool:
    return word in Path(f"/proc/{pid}/cmdline").read_bytes()


__all__ = ["Instance", "Served", "train"]
