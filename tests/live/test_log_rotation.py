"""The real logrotate, under load: of two workers' lines none is lost, doubled or torn."""

from __future__ import annotations

import gzip
import json
import os
import pwd
import re
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live_servers import CHECKOUT
from live_serving import Instance, Served, ask, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.live

ROTATIONS, SENDERS = 12, 3


@pytest.fixture
def served(prepared: Instance, tmp_path: Path, tool: Callable[[str, str], str]) -> Iterator[Served]:
    """A server with two workers of its own."""
    tool("nginx", "apt-get install nginx-light")
    server = Served(prepared.copy(tmp_path / "i").folder)
    try:
        yield server.ready()
    finally:
        server.stop()


def configuration(folder: Path, instance: Path) -> Path:
    """Return the bundled example for this instance and this user, and nothing else changed."""
    text = (CHECKOUT / "deploy" / "logrotate" / "secureml").read_text("utf-8")
    user = pwd.getpwuid(os.getuid()).pw_name
    text = text.replace("/var/lib/secureml", str(instance))
    text = re.sub(r"su secureml secureml", f"su {user} {_group()}", text)
    text = re.sub(r"create 0640 secureml secureml", f"create 0640 {user} {_group()}", text)
    file = folder / "logrotate.conf"
    file.write_text(text)
    file.chmod(0o600)
    return file


def _group() -> str:
    import grp

    return grp.getgrgid(os.getgid()).gr_name


class Load:
    """Clients that ask until told to stop, each over one connection, and the ids they got."""

    def __init__(self, served: Served) -> None:
        self._served, self._stop = served, threading.Event()
        self.ids: list[str] = []
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]

    def _send(self) -> None:
        connection = self._served.connect()
        mine = []
        while not self._stop.is_set():
            answer = ask(connection, "GET", "/v1/models")
            assert answer.status == 401
            mine.append(answer.json()["id"])
        connection.close()
        self.ids += mine

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def lines(folder: Path) -> list[dict[str, object]]:
    """Return every line of the log and of all that was rotated away."""
    found = []
    for file in sorted(folder.glob("access.log*")):
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rb") as text:
            content = text.read()
        assert content == b"" or content.endswith(b"\n"), file
        found += [json.loads(line) for line in content.splitlines()]
    return found


def rotations(folder: Path) -> int:
    return len(list(folder.glob("access.log.*")))


def wait_for_more(folder: Path, least: int) -> None:
    """Return once the file at the path has grown, so that each rotation meets lines."""
    file = folder / "access.log"
    assert until(lambda: file.exists() and file.stat().st_size > least, 20)


def test_logrotate_under_load_loses_and_doubles_no_line(
    served: Served, tmp_path: Path, tool: Callable[[str, str], str]
) -> None:
    program = tool("logrotate", "apt-get install logrotate")
    folder = served.instance / "logs"
    file = configuration(tmp_path, served.instance)
    command = [program, "--force", "--state", str(tmp_path / "state"), str(file)]
    with Load(served) as load:
        for _ in range(ROTATIONS):
            wait_for_more(folder, 10_000)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    assert rotations(folder) == ROTATIONS
    counted = Counter(line["id"] for line in lines(folder))
    asked = {line["id"] for line in lines(folder) if line["route"] == "/v1/models"}
    assert len(load.ids) > 10 * ROTATIONS
    assert set(counted.values()) == {1}
    assert asked == set(load.ids)


def test_a_signal_to_the_master_reaches_every_worker_and_loses_no_line(
    served: Served,
) -> None:
    """As with Nginx: move the file, then SIGUSR1; and without a move nothing happens."""
    folder = served.instance / "logs"
    stat = Path(f"/proc/{served.workers()[0]}/stat").read_text()
    master = int(stat.rpartition(")")[2].split()[1])
    before = served.workers()
    with Load(served) as load:
        for turn in range(6):
            wait_for_more(folder, 2000)
            if turn % 2:
                (folder / "access.log").rename(folder / f"access.log.{turn}")
            os.kill(master, signal.SIGUSR1)
    assert served.workers() == before
    counted = Counter(line["id"] for line in lines(folder))
    asked = {line["id"] for line in lines(folder) if line["route"] == "/v1/models"}
    assert set(counted.values()) == {1}
    assert asked == set(load.ids)


def test_no_worker_keeps_a_file_that_was_rotated_away(served: Served) -> None:
    """Its space would be taken for as long as the worker lives."""
    folder = served.instance / "logs"
    with Load(served):
        wait_for_more(folder, 2000)
        (folder / "access.log").rename(folder / "access.log.1")
        wait_for_more(folder, 20000)

    def held(worker: int) -> set[str]:
        found = set()
        for link in Path(f"/proc/{worker}/fd").iterdir():
            try:
                found.add(str(link.readlink()))
            except FileNotFoundError:
                continue
        return {name for name in found if "access.log" in name}

    assert all(held(worker) <= {str(folder / "access.log")} for worker in served.workers())
