"""Quick requests are answered where they arrive, and nobody waits for a slow one."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from secureml.quick_worker import Pace

CHECKOUT = Path(__file__).resolve().parents[2]
# Says in which thread it runs; /wait answers only after /go was asked, at the latest after 10 s.
APPLICATION = """
import threading
from secureml.quick_worker import Pace, QuickWorker
gone = threading.Event()
def application(environ, start_response):
    if environ["PATH_INFO"] == "/go":
        gone.set()
    if environ["PATH_INFO"] == "/stay":
        gone.clear()
    if environ["PATH_INFO"] == "/wait":
        gone.wait(10)
    body = threading.current_thread().name.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
class Hasty(Pace):
    slow, steady, enough = 0.1, 0.0, 3
class Worker(QuickWorker):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pace = Hasty(0.0)
"""
HERE = b"MainThread"


class Connection(http.client.HTTPConnection):
    """One connection to a unix socket or a port."""

    def __init__(self, place: str | tuple[str, int]) -> None:
        super().__init__("localhost", timeout=10)
        self._place = place

    def connect(self) -> None:
        """Open it."""
        family = socket.AF_UNIX if isinstance(self._place, str) else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(10)
        self.sock.connect(self._place)

    def ask(self, path: str) -> bytes:
        """Return in which thread a request was answered."""
        self.request("GET", path)
        return self.getresponse().read()


@pytest.fixture
def serve(tmp_path):
    (tmp_path / "served.py").write_text(APPLICATION)
    processes = []

    def start(place: str | tuple[str, int]):
        bind = f"unix:{place}" if isinstance(place, str) else f"{place[0]}:{place[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-k", "served.Worker", "--threads", "2",
             "--keep-alive", "10", "--no-control-socket", "--timeout", "2",
             "-b", bind, "served:application"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}:{CHECKOUT}"},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        processes.append(process)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with closing(Connection(place)) as probe:
                try:
                    probe.ask("/")
                except OSError:
                    continue
                return process
        raise AssertionError("it did not start")

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def port() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", probe.getsockname()[1]


def test_a_few_quick_requests_and_the_next_is_answered_where_it_arrives(serve, tmp_path):
    place = str(tmp_path / "s")
    serve(place)
    with closing(Connection(place)) as connection:
        found = [connection.ask("/") for _ in range(6)]
    assert HERE not in found[:2], "too few were quick by then"
    assert found[4:] == [HERE, HERE]


def test_a_slow_request_sends_the_next_to_the_pool_where_none_waits_for_another(serve, tmp_path):
    place = str(tmp_path / "s")
    serve(place)
    with closing(Connection(place)) as one, closing(Connection(place)) as other:
        one.request("GET", "/wait")  # in the pool: the connection is new
        assert other.ask("/") != HERE
        other.ask("/go")
        assert one.getresponse().read() != HERE
        assert [one.ask("/") for _ in range(5)][-1] == HERE
        one.request("GET", "/wait")  # over at once: /go was asked
        assert one.getresponse().read() == HERE


def test_who_comes_while_a_request_turns_out_slow_is_answered_meanwhile(serve, tmp_path):
    """And the worker lives on, though its main thread is busy for longer than Gunicorn waits."""
    place = str(tmp_path / "s")
    process = serve(place)
    with closing(Connection(place)) as one, closing(Connection(place)) as other:
        for connection in (one, other):
            for _ in range(6):
                connection.ask("/")
        one.request("GET", "/wait")
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert other.ask("/") != HERE
            with closing(Connection(place)) as newcomer:
                assert newcomer.ask("/") != HERE
        assert other.ask("/go") != HERE
        assert one.getresponse().read() == HERE
        assert [other.ask("/") for _ in range(6)][-1] == HERE
    assert process.poll() is None


def test_over_the_network_a_half_sent_request_keeps_nobody_waiting(serve):
    place = port()
    serve(place)
    with closing(Connection(place)) as slow, closing(Connection(place)) as other:
        for connection in (slow, other):
            assert HERE not in [connection.ask("/") for _ in range(6)]
        slow.sock.sendall(b"GET / HTTP/1.1\r\nHost: l")
        assert other.ask("/") != HERE


def test_requests_sent_without_waiting_are_all_answered_in_order(serve, tmp_path):
    place = str(tmp_path / "s")
    serve(place)
    with closing(Connection(place)) as connection:
        for _ in range(6):
            connection.ask("/")
        connection.sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        read, found = b"", 0
        while found < 200:
            read += connection.sock.recv(65536)
            found = read.count(b"HTTP/1.1 200 OK")


def test_an_end_that_is_asked_for_comes_in_good_order(serve, tmp_path):
    place = str(tmp_path / "s")
    process = serve(place)
    with closing(Connection(place)) as connection:
        for _ in range(6):
            connection.ask("/")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("seconds", "quick"), [(0.0, True), (0.25, True), (0.26, False)], ids=["now", "just", "slow"]
)
def test_one_slow_request_is_enough(seconds, quick):
    pace = Pace(0.0)
    for _ in range(Pace.enough):
        pace.note(10.0, 10.0)
    assert pace.is_quick(11.0)
    pace.note(10.0, 10.0 + seconds)
    assert pace.is_quick(11.0) is quick


def test_after_a_slow_one_all_must_have_been_quick_for_a_while():
    pace = Pace(0.0)
    pace.note(0.0, 3.0)
    for _ in range(Pace.enough):
        pace.note(4.0, 4.0)
    assert not pace.is_quick(7.9)
    assert pace.is_quick(8.0)
