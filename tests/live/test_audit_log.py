"""Every answer a client got is in the audit log: workers are killed, the disk fills up."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_serving import PREDICT, Served, UnixConnection, alive, ask, until
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from live_serving import Instance

pytestmark = [pytest.mark.live, pytest.mark.slow]

KILLS, PACE = 20, 500  # answers between two kills
ROW = load_breast_cancer().data[0].tolist()


def settings(folder: Path, words: str) -> None:
    """Add words to the table of the audit log."""
    file = folder / "secureml.toml"
    file.write_text(
        file.read_text().replace("[plugins.audit_log]\n", f"[plugins.audit_log]\n{words}")
    )


def recorded(folder: Path) -> set[str]:
    """Return the ids of all requests in the chain."""
    found = set()
    for path in (folder / "logs/audit").glob("audit-*.jsonl"):
        for line in path.read_bytes().splitlines():
            found.add(json.loads(line).get("id", ""))
    return found


@pytest.fixture
def serve(tool: Callable[[str, str], str]) -> Iterator[Callable[[Path], Served]]:
    tool("nginx", "apt-get install nginx-light")
    with ExitStack() as stack:

        def start(folder: Path) -> Served:
            served = Served(folder)
            stack.callback(served.stop)
            return served.ready()

        yield start


class Caller(threading.Thread):
    """Asks as fast as it is answered, and keeps the ids of the answers it got whole."""

    def __init__(self, served: Served, key: str, done: threading.Event) -> None:
        super().__init__(daemon=True)
        self._served, self._key, self._done = served, key, done
        self.got: list[str] = []
        self.lost = 0

    def run(self) -> None:
        while not self._done.is_set():
            try:
                with closing(UnixConnection(self._served.instance)) as connection:
                    while not self._done.is_set():
                        self._ask(connection)
            except (OSError, http.client.HTTPException):
                self.lost += 1  # the worker died under it: that is no answer

    def _ask(self, connection: UnixConnection) -> None:
        # Three refusals to a prediction: the bodies of both carry the request's id.
        predicts = len(self.got) % 4 == 0
        body = {"instances": [ROW]} if predicts else None
        key, method = (self._key, "POST") if predicts else ("", "GET")
        answer = ask(connection, method, PREDICT, key, body, **connection.edge)
        assert answer.status in (200 if predicts else 401, 429), answer  # a limit's no is one too
        self.got.append(answer.json()["id"])


def pids(mine: Instance, event: str) -> set[int]:
    """Return the processes that an event was told of."""
    rows = mine.run("audit-log", "show", "--event", event, "-n", "1000")
    return {row["facts"]["pid"] for row in rows}


def test_killed_workers_take_no_record_along(
    prepared: Instance, tmp_path: Path, serve: Callable[[Path], Served]
) -> None:
    """And each is missed: whoever replaces it says so. Those that are asked to end say so."""
    mine = prepared.copy(tmp_path / "instance")
    settings(mine.folder, 'requests = "all"\nrotate = "128KiB"\ncheckpoint_every = 100\n')
    key = mine.key("busy")
    served = serve(mine.folder)
    done, victims = threading.Event(), set()
    callers = [Caller(served, key, done) for _ in range(6)]
    for caller in callers:
        caller.start()
    try:
        for kill in range(KILLS):
            aim = sum(len(caller.got) for caller in callers) + PACE
            assert until(lambda aim=aim: sum(len(c.got) for c in callers) >= aim, 20), kill
            victim = random.choice(served.workers())
            os.kill(victim, signal.SIGKILL)
            victims.add(victim)
            assert until(lambda victim=victim: not alive(victim))
    finally:
        done.set()
        for caller in callers:
            caller.join(40)
    got = [each for caller in callers for each in caller.got]
    assert len(got) >= PACE * KILLS
    assert set(got) - recorded(mine.folder) == set()
    assert until(lambda: pids(mine, "sys_crash") == victims, 20), victims
    ended = set(served.workers())
    served.stop()
    assert pids(mine, "sys_shutdown") == ended
    assert pids(mine, "sys_startup") >= ended
    assert pids(mine, "sys_crash") == victims
    report = mine.run("audit-log", "verify")
    assert report["ok"], report
    assert report["files"] > 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def fill_up(filler: Path) -> None:
    """Leave not one byte."""
    with filler.open("ab", 0) as file, suppress(OSError):
        while file.write(b"\0" * 512):
            pass


def test_a_full_disk_lets_no_answer_out_and_recovers(
    prepared: Instance, tmp_path: Path, small_disk: Path, serve: Callable[[Path], Served]
) -> None:
    mine = prepared.copy(tmp_path / "instance")
    settings(mine.folder, 'requests = "all"\nfree_space = "400KiB"\nrotate = "64KiB"\n')
    shutil.move(mine.folder / "logs/audit", small_disk / "audit")  # it tells of the sealed model
    (mine.folder / "logs/audit").symlink_to(small_disk / "audit")
    key = mine.key("busy")
    served = serve(mine.folder)
    ids: dict[int, set[str]] = {200: set(), 503: set()}

    def asked(path: str) -> Any:
        with closing(UnixConnection(served.instance)) as connection:
            if path == "/readyz":
                return ask(connection, "GET", path, **connection.edge)
            answer = ask(connection, "POST", path, key, {"instances": [ROW]}, **connection.edge)
        ids[answer.status].add(answer.json()["id"])
        return answer

    assert asked("/readyz").status == 200
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * (700 * 1024))
    assert asked(PREDICT).status == 200, "answers go on above the floor's end"
    assert b"audit_disk_nearly_full" in asked("/readyz").body
    fill_up(filler)
    assert until(lambda: asked(PREDICT).status == 503)
    assert [asked(PREDICT).status for _ in range(20)] == [503] * 20
    assert b"not_recorded" in asked(PREDICT).body

    filler.unlink()
    assert [asked(PREDICT).status for _ in range(20)] == [200] * 20
    assert asked("/readyz").status == 200
    assert ids[200] - recorded(mine.folder) == set()
    report = mine.run("audit-log", "verify")
    assert report["ok"], report
