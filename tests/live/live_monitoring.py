"""The monitoring kit with real servers on loopback: Prometheus and Alertmanager.

The files are the kit's own; what an operator puts in (names, keys, addresses) is put in here,
and times are made short.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from live_servers import CHECKOUT, end, free_port
from live_serving import until

if TYPE_CHECKING:
    from pathlib import Path

KIT = CHECKOUT / "deploy" / "monitoring"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Program:
    """A server with a readiness address, started in a folder and ended by its pid."""

    def __init__(self, command: list[str], port: int, folder: Path) -> None:
        self.port, self._log = port, folder / f"{port}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )
        if not until(self._is_ready, 30):
            self.stop()
            raise AssertionError(self._log.read_text()[-2000:])

    def _is_ready(self) -> bool:
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False

    def get(self, path: str) -> bytes:
        """Return the body of an answer; raises where there is none or it is no success."""
        with _OPENER.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            body: bytes = answer.read() or b"ok"
            return body

    def stop(self) -> None:
        end(self._process.pid)
        self._process.wait()


class Prometheus(Program):
    """A real Prometheus with the kit's configuration and rules."""

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression now; raises with Prometheus's own words."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            answer = json.loads(self.get(f"/api/v1/query?{query}"))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, expression: str) -> float:
        """Return the one value of an expression, NaN where there is none yet."""
        found = self.ask(expression)
        return float(found[0]["value"][1]) if found else math.nan

    def has_data(self, expression: str) -> bool:
        """Tell whether an expression returns a sample that is a number."""
        return any(not math.isnan(float(s["value"][1])) for s in self.ask(expression))


def fill_in(folder: Path, edits: dict[str, dict[str, str]]) -> None:
    """Copy the kit and put in what an operator would; each text must be there."""
    shutil.copytree(KIT, folder, dirs_exist_ok=True)
    for name, changes in edits.items():
        file = folder / name
        text = file.read_text("utf-8")
        for old, new in changes.items():
            assert re.search(old, text), (name, old)
            text = re.sub(old, new, text)
        file.write_text(text, "utf-8")


def prometheus(
    program: str, folder: Path, target: str, authority: Path | None = None,
    alertmanager: int = 9093, **rules: str,
) -> Prometheus:  # fmt: skip
    """Start Prometheus on a copy of the kit; the file `secureml.key` must be in the folder."""
    port = free_port()
    shutil.copy(authority, folder / "ca.crt") if authority else None
    edits = {
        r"ml\.example\.org:443": target,
        r"127\.0\.0\.1:9090": f"127.0.0.1:{port}",
        r"127\.0\.0\.1:9093": f"127.0.0.1:{alertmanager}",
        r"(scrape|evaluation)_interval: 15s": r"\1_interval: 1s",
    }
    fill_in(folder, {"prometheus.yml": edits, "secureml.rules.yml": rules})
    command = [
        program,
        "--config.file=prometheus.yml",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    return Prometheus(command, port, folder)


def alertmanager(program: str, folder: Path, webhook: int) -> Program:
    """Start Alertmanager on the kit's configuration, with waits of a second."""
    port = free_port()
    waits = {r"group_wait: \w+": "group_wait: 1s", r"127\.0\.0\.1:9095": f"127.0.0.1:{webhook}"}
    fill_in(folder, {"alertmanager.yml": waits})
    command = [
        program,
        "--config.file=alertmanager.yml",
        f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    return Program(command, port, folder)
