"""Attack: a plugin that ends its worker. It refuses, and only signals end one."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from live_servers import Gunicorn
from live_serving import alive, children, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live
# Not imported: what ending_app makes of the worker is for its own process.
ENDS = ["boot", "clean", "bare", "ctrl-c", "generator"]


class Connection(http.client.HTTPConnection):
    """One connection to Gunicorn's socket, kept open."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def ask(self, path: str = "/healthz", **headers: str) -> http.client.HTTPResponse:
        self.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = self.getresponse()
        answer.read()
        return answer

    def reach_main_thread(self) -> None:
        """Ask until it is there that the next request is answered: after a slow one it is not."""
        assert until(lambda: self.ask().headers["X-Thread"] == "MainThread")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    made = Gunicorn(tmp_path_factory.mktemp("ending"), app="ending_app:application")
    yield made
    made.stop()


def worker(server: Gunicorn) -> int:
    assert until(lambda: len(children(server.process.pid)) == 1)
    return children(server.process.pid)[0]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("at", "status"), [("admit", 500), ("respond", 500), ("record", 200)])
def test_the_request_is_refused_and_the_worker_lives(
    server: Gunicorn, end: str, at: str, status: int
) -> None:
    """In a thread of the pool, and in the main thread where signals arrive."""
    pid = worker(server)
    for asked_before in (False, True):
        with closing(Connection(server.socket)) as caller:
            if asked_before:
                caller.reach_main_thread()
            answer = caller.ask(X_End=end, X_At=at)
            assert answer.status == status
            if at != "respond":
                assert (answer.headers["X-Thread"] == "MainThread") == asked_before
    assert worker(server) == pid
    assert server.logged(f"ender failed at {at}" if at != "admit" else "at admit by ender")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("path", "status"), [("/streamed", 500), ("/sent", 200)])
def test_what_a_view_leaves_for_later_ends_no_worker(
    server: Gunicorn, end: str, path: str, status: int
) -> None:
    """Long after the phases: a body that is made as it is read, and what is done once it is out."""
    pid = worker(server)
    for asked_before in (False, True):
        with closing(Connection(server.socket)) as caller:
            if asked_before:
                caller.reach_main_thread()
            assert caller.ask(path, X_End=end).status == status
    assert worker(server) == pid


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT])
def test_a_signal_ends_the_worker_in_the_middle_of_a_plugin(
    server: Gunicorn, tmp_path: Path, number: int
) -> None:
    """Gunicorn's own way to end one at once, or one that takes too long: by SystemExit."""
    pid, waiting = worker(server), tmp_path / "waiting"
    with closing(Connection(server.socket)) as caller:
        caller.reach_main_thread()
        caller.request("GET", "/", headers={"X-At": "admit", "X-Wait": str(waiting)})
        assert until(waiting.exists)
        os.kill(pid, number)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            caller.getresponse()  # nothing is answered: the worker is gone, not refused
    assert until(lambda: not alive(pid))
    assert until(lambda: children(server.process.pid) not in ([], [pid]))
    with closing(Connection(server.socket)) as caller:
        assert caller.ask().status == 200
