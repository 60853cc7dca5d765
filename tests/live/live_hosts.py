"""Two application hosts behind a front host, with one Redis and one PostgreSQL: docs/hosts.md.

Each host is a network namespace with an instance folder, a Gunicorn of two workers and the bundled
Nginx; the files of deploy/hosts are used with other addresses and paths.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_network import PREFIX
from live_servers import CHECKOUT, Edge, end
from live_serving import EACH_IN_FULL, PREDICT, alive, descendants, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from live_network import Namespace

NAME = "ml.example.test"
FRONT, ONE, TWO, DATA, CALLERS, STRANGER = (f"{PREFIX}{number}" for number in range(10, 16))
DATABASE = f"postgresql+psycopg://postgres@{DATA}/postgres"
SETTINGS = f"""
{EACH_IN_FULL}
[store]
url = "{DATABASE}"

[server]
workers = 2

[plugins.rate_limit]
redis = "redis://{DATA}:6379/0"

[[plugins.rate_limit.limits]]
name = "counted"
for = "client:counted"
allow = "40 per hour"
strategy = "moving-window"

[[plugins.rate_limit.limits]]
name = "kept"
for = "client:kept"
allow = "5 per hour"
strategy = "moving-window"

[[plugins.rate_limit.limits]]
name = "strict"
for = "client:strict"
allow = "50000 per hour"
strategy = "fixed-window"
on_storage_failure = "refuse"
"""


def processes(pid: int) -> list[int]:
    return [pid, *descendants(pid)]


class HostEdge(Edge):
    """The bundled Nginx in a namespace."""

    def __init__(self, folder: Path, host: Host, nginx: str) -> None:
        self._inside = host.inside
        listen = (CHECKOUT / "deploy/hosts/listen.conf").read_text("utf-8")
        for old, new in {"10.0.0.11:443": f"{host.address}:443", "10.0.0.10": FRONT}.items():
            assert old in listen
            listen = listen.replace(old, new)
        server = host.instance / "tls/server"
        token = (host.instance / "keys/edge-token").read_text("ascii").strip()
        sites = {
            "listen": listen,
            "names": f"server_name {NAME};",
            "strangers": "ssl_reject_handshake on;",
            "edge_token": f'set $edge_token "{token}";',
            "certificate": f"ssl_certificate {server}.crt;\nssl_certificate_key {server}.key;",
        }
        super().__init__(folder, [host.instance / "run/gunicorn.sock"], nginx, sites=sites)

    def command(self, *arguments: str, nginx: str = "") -> subprocess.CompletedProcess[str]:
        """Run Nginx in the namespace."""
        words = [*self._inside, nginx or self._nginx, "-e", "stderr", "-p", f"{self.folder}/"]
        words += ["-c", f"{self.folder}/nginx.conf", *arguments]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)

    @property
    def pid(self) -> int:
        return int((self.folder / "nginx.pid").read_text("ascii"))


class Host:
    """An application host: its instance, Gunicorn and Nginx."""

    def __init__(self, folder: Path, address: str, namespace: Namespace, nginx: str) -> None:
        folder.mkdir()
        self._folder, self.address, self.inside = folder, address, namespace.inside
        self.instance, self._nginx = folder / "instance", nginx
        self._edge: HostEdge | None = None
        self._gunicorn: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``secureml ...`` on this host."""
        run = [*self.inside, sys.executable, "-m", "secureml.cli", *words]
        run += ["--instance", str(self.instance)]
        return subprocess.run(
            run, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False
        )

    def run(self, *words: str) -> Any:
        """Run a command that must succeed and return what it printed as JSON."""
        done = self.command(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def make(self, first: Host | None = None) -> None:
        """Make the instance; of a second host with what it shares with the first."""
        self.run("init", "--host", NAME)
        settings = self.instance / "secureml.toml"
        settings.write_text(settings.read_text("utf-8") + SETTINGS, "utf-8")
        # What `init` made for the store that the settings do not name any more.
        for spare in (self.instance / "keys/signing").iterdir():
            spare.unlink()
        for spare in self.instance.glob("secureml.db*"):
            spare.unlink()
        self.run("init", "--host", NAME)
        if first is not None:
            self._share(first)

    def _share(self, first: Host) -> None:
        for name in ("keys/signing", "model_integrity", "tls"):
            shutil.rmtree(self.instance / name)
            shutil.copytree(first.instance / name, self.instance / name)
            (self.instance / name).chmod((first.instance / name).stat().st_mode & 0o777)
        (self.instance / "keys/model-signing.key").unlink()
        # The folder of models of both is one, as it is where it is mounted from a file server.
        (self.instance / "models").rmdir()
        (self.instance / "models").symlink_to(first.instance / "models")

    def start(self) -> None:
        """Start Gunicorn and Nginx, and wait until both answer."""
        log = self._folder / "gunicorn.log"
        before = log.read_text("utf-8") if log.exists() else ""
        with log.open("ab") as output:
            self._gunicorn = subprocess.Popen(
                [*self.inside, sys.executable, "-m", "gunicorn",
                 "-c", str(CHECKOUT / "deploy/gunicorn.conf.py")],
                cwd=CHECKOUT, stdout=output, stderr=output,
                env=os.environ | {"SECUREML_INSTANCE": str(self.instance)},
            )  # fmt: skip
        started = self._gunicorn

        def workers_are_there() -> bool:
            said = log.read_text("utf-8")[len(before) :]
            return said.count("Booting worker") >= 2 or started.poll() is not None

        assert until(workers_are_there, 120), log.read_text("utf-8")
        assert started.poll() is None, log.read_text("utf-8")[-3000:]
        if self._edge is None:
            (self._folder / "nginx").mkdir()
            self._edge = HostEdge(self._folder / "nginx", self, self._nginx)
        self._edge.start()

    def kill(self) -> None:
        """End everything at once, as the loss of power does."""
        assert self._gunicorn is not None
        assert self._edge is not None
        pids = [*processes(self._edge.pid), *processes(self._gunicorn.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._gunicorn.wait(30)
        assert all(until(lambda pid=pid: not alive(pid)) for pid in pids)
        (self._edge.folder / "nginx.pid").unlink(missing_ok=True)
        (self.instance / "run/gunicorn.sock").unlink(missing_ok=True)

    def stop(self) -> None:
        """End what runs, Nginx first."""
        if self._edge is not None:
            self._edge.stop()
        if self._gunicorn is not None and self._gunicorn.poll() is None:
            end(self._gunicorn.pid)
            self._gunicorn.wait(30)

    def workers(self) -> list[int]:
        """The processes of Gunicorn's workers."""
        assert self._gunicorn is not None
        return descendants(self._gunicorn.pid)

    def lines(self, client: str) -> list[dict[str, Any]]:
        """Return the lines of one client in this host's access log, the oldest first."""
        file = self.instance / "logs/access.log"
        text = file.read_text("utf-8") if file.exists() else ""
        found = [json.loads(line) for line in text.splitlines()]
        return [line for line in found if line.get("client") == client]


class Front:
    """The front host: deploy/hosts/front.conf with the addresses of the test."""

    def __init__(self, folder: Path, namespace: Namespace, nginx: str) -> None:
        folder.mkdir()
        self._folder, self._words = folder, [*namespace.inside, nginx, "-e", "stderr"]
        text = (CHECKOUT / "deploy/hosts/front.conf").read_text("utf-8")
        edits = {
            "user www-data;": "user root;",
            "worker_processes auto;": "worker_processes 1;",
            "/run/nginx.pid": f"{folder}/nginx.pid",
            "/var/log/nginx/": f"{folder}/",
            "10.0.0.11:": f"{ONE}:",
            "10.0.0.12:": f"{TWO}:",
        }
        for old, new in edits.items():
            assert old in text, old
            text = text.replace(old, new)
        text = re.sub(r"^\s*listen \[::\]:.*$", "", text, flags=re.MULTILINE)
        (folder / "nginx.conf").write_text(text, "utf-8")

    def start(self) -> None:
        words = [*self._words, "-p", f"{self._folder}/", "-c", f"{self._folder}/nginx.conf"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        end(int((self._folder / "nginx.pid").read_text("ascii")))

    def connections(self) -> list[dict[str, Any]]:
        """Return the lines of the front host's log."""
        text = (self._folder / "hosts.log").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]


class Redis:
    """A Redis that keeps what it counts when it is stopped."""

    def __init__(self, folder: Path, namespace: Namespace, program: str) -> None:
        folder.mkdir()
        self._folder = folder
        self._words = [
            *namespace.inside, program, "--bind", DATA, "--port", "6379",
            "--protected-mode", "no", "--dir", str(folder), "--save", "", "--appendonly", "yes",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self._folder / "log"
        before = log.read_bytes().count(b"Ready to accept") if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(self._words, stdout=output, stderr=output)
        assert until(lambda: log.read_bytes().count(b"Ready to accept") > before), log.read_text()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class Callers:
    """Callers on a host of their own; ``records`` grows while they ask."""

    def __init__(
        self,
        namespace: Namespace,
        authority: Path,
        key: str,
        row: list[float],
        *,
        callers: int = 4,
        count: int | None = None,
        headers: dict[str, str] | None = None,
        address: str = FRONT,
        preface: str = "",
    ) -> None:
        words = {
            "address": address, "port": 443, "name": NAME, "authority": str(authority),
            "key": key, "path": PREDICT, "body": {"instances": [row]}, "callers": callers,
            "count": count, "headers": headers or {}, "preface": preface,
        }  # fmt: skip
        script = str(Path(__file__).with_name("live_caller.py"))
        self._process = subprocess.Popen(
            [*namespace.inside, sys.executable, script, json.dumps(words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.records: list[tuple[int, float, float, int, str]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.records.append(tuple(json.loads(line)))

    def since(self, moment: float) -> list[tuple[int, float, float, int, str]]:
        """Return what was asked after a moment."""
        return [record for record in list(self.records) if record[1] >= moment]

    def saw(self, status: int, *, after: float = 0.0, times: int = 1, seconds: float = 30) -> bool:
        """Tell whether so many were answered so, of those asked after a moment."""

        def is_so() -> bool:
            return sum(record[3] == status for record in self.since(after)) >= times

        return until(is_so, seconds)

    def last(self) -> dict[int, int]:
        """Return what each caller was answered last."""
        return {record[0]: record[3] for record in list(self.records)}

    def finish(self) -> list[tuple[int, float, float, int, str]]:
        """Have them end, and return all that they were answered."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(60)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self.records


def after(act: Callable[[], object]) -> float:
    """Do something and return when it was done, by the clock of the callers."""
    act()
    return time.monotonic()
