"""A flood of refusals is a few lines of both logs, of both workers, that add up to the flood."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_serving import EACH_IN_FULL, Instance, Served, UnixConnection, alive, alone, ask, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.live]

SENDERS, EACH = 4, 150  # SENDERS addresses, each refused so often


def lines(folder: Path, log: str) -> list[dict[str, Any]]:
    """Return the objects of a log, all its files together."""
    files = sorted((folder / "logs").glob(log))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


class Logs:
    """What both logs say of refusals, as {(address, status): number}."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def access(self) -> Counter[tuple[str, int]]:
        return _added(lines(self._folder, "access.log"), _plain)

    def audit(self) -> Counter[tuple[str, int]]:
        return _added(lines(self._folder, "audit/audit-*.jsonl"), lambda row: row.get("facts", {}))

    def size(self) -> int:
        """Return how many lines and records there are."""
        return len(lines(self._folder, "access.log") + lines(self._folder, "audit/audit-*.jsonl"))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return row


def recorded(seen: Counter[tuple[str, int]]) -> Counter[tuple[str, int]]:
    """Return those that the audit log must have.

    Where the disk of a busy machine stands still for two seconds, a request is answered 503
    `not_recorded`, and that is what it is.
    """
    return Counter({key: count for key, count in seen.items() if key[1] != 503})


def _added(rows: list[dict[str, Any]], facts: Any) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for row in rows:
        if row.get("event") == "refusals_counted":
            emitted = facts(row)
            found[emitted["subject"].removeprefix("address:"), emitted["status"]] += emitted[
                "count"
            ]
        elif row.get("status", 0) >= 400:
            found[row["address"], row["status"]] += 1
    return found


@pytest.fixture
def serve(
    prepared: Instance, tmp_path: Path, tool: Callable[[str, str], str]
) -> Iterator[Callable[[str], Served]]:
    """A function that starts a server whose table of that name says these words."""
    tool("nginx", "apt-get install nginx-light")
    with ExitStack() as stack:

        def start(words: str) -> Served:
            mine = prepared.copy(tmp_path / "i")
            file = mine.folder / "secureml.toml"
            text = file.read_text()
            assert EACH_IN_FULL in text
            file.write_text(text.replace(EACH_IN_FULL, f"[recording]\n{words}"))
            served = Served(mine.folder)
            stack.callback(served.stop)
            return served.ready()

        yield start


def flood(served: Served) -> Counter[tuple[str, int]]:
    """Have every sender refused so often at once; return what they were answered."""
    seen: Counter[tuple[str, int]] = Counter()
    lock = threading.Lock()

    def send(number: int) -> None:
        address = f"198.51.100.{number}"
        statuses: Counter[tuple[str, int]] = Counter()
        for _ in range(EACH // 10):
            # Another connection may meet another worker.
            with closing(UnixConnection(served.instance)) as connection:
                edge = {**connection.edge, "X_Forwarded_For": address}
                for _ in range(10):
                    statuses[address, ask(connection, "GET", "/v1/models", **edge).status] += 1
        with lock:
            seen.update(statuses)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seen.values()) == SENDERS * EACH
    return seen


def flood_each(served: Served) -> Counter[tuple[str, int]]:
    """Do so with every worker by itself.

    Not where windows are short: who is held still while it tells holds the lock of the chain.
    """
    seen: Counter[tuple[str, int]] = Counter()
    workers = served.workers()
    for worker in workers:
        with alone(worker, workers):
            seen += flood(served)
    return seen


def test_a_graceful_stop_loses_no_refusal_of_any_worker(serve: Callable[[str], Served]) -> None:
    """Nothing has been told before: the window is an hour."""
    served = serve('window = "1h"\n')
    seen = flood_each(served)
    logs = Logs(served.instance)
    assert logs.access() != seen, "or nothing was only counted"
    served.stop()

    assert sum(seen.values()) == SENDERS * EACH * 2
    assert logs.access() == seen
    assert logs.audit() == recorded(seen)
    assert logs.size() < sum(seen.values()) / 3
    assert Instance(served.instance).run("audit-log", "verify")["ok"]


def test_nginx_keeps_the_lines_that_the_application_keeps(serve: Callable[[str], Served]) -> None:
    """What is only counted has no line at the edge, and the caller is not told."""
    served = serve('in_full = 5\nwindow = "1h"\n')
    with closing(served.connect()) as connection:
        answers = [ask(connection, "GET", "/v1/models") for _ in range(60)]
    assert {answer.status for answer in answers} == {401}
    assert not any(answer.all("X-SecureML-Counted") for answer in answers)
    served.stop()
    edge = [row for row in lines(served.instance, "nginx.log") if row["status"] == 401]
    own = [
        row
        for row in lines(served.instance, "access.log")
        if row.get("foreign_id") and row["status"] == 401
    ]
    assert {row["id"] for row in edge} == {row["foreign_id"] for row in own}
    assert 5 <= len(edge) <= 10, "five of each worker"
    assert sum(Logs(served.instance).access().values()) == 60


def test_numbers_are_told_at_the_end_of_the_window_and_a_kill_loses_no_more_than_one(
    serve: Callable[[str], Served],
) -> None:
    """What was told is there when a worker is killed the hardest way."""
    served = serve('in_full = 5\nwindow = "1s"\n')
    seen = flood(served)
    logs = Logs(served.instance)
    assert until(lambda: logs.access() == seen, 30), (logs.access(), seen)
    assert until(lambda: logs.audit() == recorded(seen), 30), (logs.audit(), seen)
    victim = served.workers()[0]
    os.kill(victim, signal.SIGKILL)
    assert until(lambda: not alive(victim))
    assert until(lambda: len(served.workers()) == 2, 30)

    more = flood(served)
    assert until(lambda: logs.audit() == recorded(seen + more), 30)
    served.stop()
    assert logs.access() == seen + more
    assert logs.audit() == recorded(seen + more)
