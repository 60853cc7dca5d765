"""Real servers on loopback: started in a temporary folder, stopped by pid.

Nothing here waits by the clock: Gunicorn says when it listens, Nginx returns to its caller
once it does, and the end of a process is awaited on its file descriptor.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from live_certificates import make_certificates

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
STATUS = "location = /status { stub_status; }"
# What `secureml nginx-conf` would write, for an application that is given up on after a second.
IMPATIENT = (CHECKOUT / "deploy/nginx/application.conf").read_text().replace("35s", "1s")


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# Below the range from which the system takes ports for clients, and apart for each process that
# runs tests: nobody else takes a port between our looking and the server's binding.
_FIRST = 12_000 + _WORKER % 10 * 2_000
_PORTS = itertools.cycle(_FIRST + (os.getpid() + step) % 2_000 for step in range(2_000))


def free_port() -> int:
    """Return a port of loopback that nobody holds."""
    for port in itertools.islice(_PORTS, 2_000):
        with closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free on loopback")


def end(pid: int) -> None:
    """Ask a process to stop and wait until it has; insist after ten seconds."""
    try:
        handle = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    ended = select.poll()  # `select` takes no descriptor above 1023, and a long run has such
    ended.register(handle, select.POLLIN)
    if not ended.poll(10_000):
        os.kill(pid, signal.SIGKILL)
    os.close(handle)


class Answer(NamedTuple):
    """What came back: every header as sent, in order, repeated ones too."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        return json.loads(self.body)


class Gunicorn:
    """The echo application under deploy/gunicorn.conf.py, on a unix socket of its own."""

    def __init__(
        self,
        folder: Path,
        name: str = "one",
        app: str = "echo_app:application",
        *,
        timeout: int = 30,
    ) -> None:
        (folder / "run").mkdir(parents=True)
        table = f"[server]\nworkers = 1\ntimeout = {timeout}\n"
        (folder / "secureml.toml").write_text(table, "utf-8")
        self.socket = folder / "run" / "gunicorn.sock"
        self._log, self._grew = "", threading.Condition()
        environment = os.environ | {"SECUREML_INSTANCE": str(folder), "ECHO_NAME": name}
        self._crashes = folder / "crashes"
        environment |= {"ECHO_CRASHES": str(self._crashes), "HOME": str(folder)}
        self._seen = folder / "seen"
        environment |= {"ECHO_SEEN": str(self._seen)}
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            str(CHECKOUT / "deploy/gunicorn.conf.py"),
        ]
        command += ["--chdir", str(HERE), app]
        self.process = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        # It listens first and forks afterwards: a test that stops the workers needs them there.
        if not (self.logged("Listening at") and self.logged("Booting worker")):
            self.stop()
            pytest.fail(f"gunicorn did not start: {self._log}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._grew:
                self._log += line
                self._grew.notify_all()

    def logged(self, text: str) -> bool:
        """Tell whether the log holds a text, or comes to within ten seconds."""
        with self._grew:
            return self._grew.wait_for(lambda: text in self._log, timeout=10)

    def stop(self) -> None:
        end(self.process.pid)
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def crashes(self) -> list[str]:
        """The methods of the requests to /crash that arrived here."""
        return self._crashes.read_text("ascii").split() if self._crashes.exists() else []

    def seen(self) -> list[str]:
        """Method and path of every request that arrived here, in order."""
        return self._seen.read_text("utf-8").splitlines() if self._seen.exists() else []

    def raw(self, request: bytes) -> bytes:
        """Send bytes straight to Gunicorn's socket and return all that it answers."""
        with closing(socket.socket(socket.AF_UNIX)) as channel:
            channel.settimeout(10)
            channel.connect(str(self.socket))
            channel.sendall(request)
            return b"".join(iter(lambda: channel.recv(65536), b""))


def write_edited(folder: Path, name: str, edits: dict[str, str]) -> None:
    """Copy a file of the checkout with some of its words changed; each must be there."""
    text = (CHECKOUT / name).read_text("utf-8")
    for old, new in edits.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / name).write_text(text, "utf-8")


class Edge:
    """The checkout's nginx.conf with its site values replaced, in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        sockets: Sequence[Path],
        nginx: str = "nginx",
        *,
        sites: dict[str, str] | None = None,
        edits: dict[str, str] | None = None,
        ceilings: dict[str, str] | None = None,
    ) -> None:
        self.folder, self.port, self.plain_port = folder, free_port(), free_port()
        self.status_port = free_port()
        self._nginx = nginx
        shutil.copytree(CHECKOUT / "deploy" / "nginx", folder / "deploy" / "nginx")
        (folder / "acme/.well-known/acme-challenge").mkdir(parents=True)
        self.authority = make_certificates(folder)
        user = "user root;\n" if os.getuid() == 0 else ""
        values = {
            "process": f"{user}worker_processes 1;\npid nginx.pid;\nerror_log error.log warn;",
            "listen": f"listen 127.0.0.1:{self.port} ssl http2;",
            "listen_http": f"listen 127.0.0.1:{self.plain_port};\nroot acme;",
            "status": f"listen 127.0.0.1:{self.status_port};\n{STATUS}",
            "certificate": "ssl_certificate server.crt;\nssl_certificate_key server.key;",
            "upstream": "\n".join(f"server unix:{path};" for path in sockets),
        }
        for name, value in (values | (sites or {})).items():
            (folder / f"deploy/nginx/{name}.conf").write_text(value + "\n", "utf-8")
        write_edited(folder, "nginx.conf", edits or {})
        write_edited(folder, "deploy/nginx/ceilings.conf", ceilings or {})

    def command(self, *arguments: str, nginx: str = "") -> subprocess.CompletedProcess[str]:
        """Run an nginx program on this folder."""
        command = [
            nginx or self._nginx,
            "-e",
            "stderr",
            "-p",
            f"{self.folder}/",
            "-c",
            f"{self.folder}/nginx.conf",
        ]
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=30, check=False
        )

    def start(self) -> Edge:
        started = self.command()
        assert started.returncode == 0, started.stderr
        return self

    def stop(self) -> None:
        pid = self.folder / "nginx.pid"
        if pid.exists() and pid.stat().st_size:  # `nginx -t` leaves it empty
            end(int(pid.read_text("ascii")))

    def ask(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        host: str = "localhost",
        source: str = "127.0.0.1",
        plain: bool = False,
        patience: float = 10,
    ) -> Answer:
        """Send one request over a connection of its own; headers go out as given, repeats too."""
        connection = self.connect(source=source, plain=plain, patience=patience)
        with closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            length = [("Content-Length", str(len(body)))] if body or method == "POST" else []
            for name, value in [("Host", host), *length, *headers]:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())

    def ask_status(self, path: str = "/status") -> str:
        """Return what Nginx tells monitoring of itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.status_port, timeout=10)
        with closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def connect(
        self, *, source: str = "127.0.0.1", plain: bool = False, patience: float = 10
    ) -> http.client.HTTPConnection:
        if plain:
            return http.client.HTTPConnection(
                "127.0.0.1", self.plain_port, timeout=patience, source_address=(source, 0)
            )
        trust = ssl.create_default_context(cafile=self.authority)
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=patience, source_address=(source, 0), context=trust
        )

    def raw(self, request: bytes, *, tls: bool = True) -> bytes:
        """Send bytes as they are to the TLS port and return all that comes back."""
        channel = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        if tls:
            trust = ssl.create_default_context(cafile=self.authority)
            channel = trust.wrap_socket(channel, server_hostname="localhost")
        with closing(channel):
            channel.sendall(request)
            return b"".join(iter(lambda: channel.recv(65536), b""))
