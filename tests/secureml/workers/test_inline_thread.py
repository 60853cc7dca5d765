"""Quick requests are answered where they arrive, and nobody waits for a slow one."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
# Says in which thread it runs; /wait answers only after /go was asked, at the latest after 30 s.
# /compute takes a twentieth of a second of the processor, /ask as long to hear from somebody else;
# what those take is never forgiven where the file "unforgiving" lies in the folder.
APPLICATION = """
import os, threading, time
from secureml.workers.latency_budget import Pace
from secureml.workers.inline_thread import InlineThreadWorker
gone = threading.Event()
def application(environ, start_response):
    if environ["PATH_INFO"] == "/go":
        gone.set()
    if environ["PATH_INFO"] == "/stay":
        gone.clear()
    if environ["PATH_INFO"] == "/wait":
        gone.wait(30)
    if environ["PATH_INFO"] == "/read":
        environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/large":
        start_response("200 OK", [("Content-Length", "30000000")])
        return [b"x" * 30000000]
    if environ["PATH_INFO"] == "/compute":
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
    if environ["PATH_INFO"] == "/ask":
        threading.Event().wait(0.05)
    body = threading.current_thread().name.encode()
    if environ["PATH_INFO"] == "/pid":
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
class Hasty(Pace):
    enough, ceiling, slice = 4, 0.0, 60.0
class Unforgiving(Pace):
    enough, forgiven, slice, again = 3, 0.0, 0.02, 0.0
class Worker(InlineThreadWorker):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pace = Unforgiving(0.0) if os.path.exists("unforgiving") else Hasty(0.0)
        self.pace._owed = 0.0
        if os.path.exists("impatient"):
            self.arrival = 1.0
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
        self.sock.settimeout(self.timeout)
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


@pytest.mark.parametrize("path", ["/compute", "/ask"])
def test_a_slow_request_sends_the_next_to_the_pool(serve, tmp_path, path):
    """One that was answered where it arrived, whether it computed or waited for somebody."""
    place = str(tmp_path / "s")
    (tmp_path / "unforgiving").touch()
    serve(place)
    with closing(Connection(place)) as one:
        assert [one.ask("/") for _ in range(6)][-1] == HERE
        assert one.ask(path) == HERE
        assert HERE not in [one.ask("/") for _ in range(6)]


def test_a_batch_in_the_pool_keeps_single_rows_there_too(serve, tmp_path):
    """From its first connection on, so that nobody gets past it by a new one for each batch."""
    place = str(tmp_path / "s")
    (tmp_path / "unforgiving").touch()
    serve(place)
    with closing(Connection(place)) as one, closing(Connection(place)) as other:
        assert [one.ask("/") for _ in range(6)][-1] == HERE
        assert other.ask("/compute") != HERE
        # What it took is counted when its answer has left, and the next may be quicker than that.
        assert any(one.ask("/") != HERE for _ in range(100))
        assert HERE not in [one.ask("/") for _ in range(6)]


def test_requests_in_the_pool_do_not_wait_for_each_other(serve, tmp_path):
    place = str(tmp_path / "s")
    serve(place)
    with closing(Connection(place)) as one, closing(Connection(place)) as other:
        one.request("GET", "/wait")  # in the pool: the connection is new
        assert other.ask("/") != HERE
        other.ask("/go")
        assert one.getresponse().read() != HERE


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


# What a client sends and then leaves, or drips on: a header, a body, the words of a handshake.
HALF = {
    "nothing": b"",
    "half a header": b"GET / HTTP/1.1\r\nHost: l",
    "half a body": b"POST /read HTTP/1.1\r\nHost: l\r\nContent-Length: 99\r\n\r\nx",
    "half a chunk": b"POST /read HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx",
    "an answer it does not read": b"GET /large HTTP/1.1\r\nHost: l\r\n\r\n",
}


@pytest.mark.parametrize("family", ["unix", "network"])
@pytest.mark.parametrize("sent", HALF)
def test_a_request_that_does_not_arrive_in_time_frees_its_thread(serve, tmp_path, sent, family):
    """Eight of them and two threads; each is dropped, though a byte comes now and then."""
    place = str(tmp_path / "s") if family == "unix" else port()
    (tmp_path / "impatient").touch()
    serve(place)
    with ExitStack() as stack:
        held = [stack.enter_context(closing(Connection(place))) for _ in range(8)]
        for connection in held:
            connection.connect()
            connection.sock.sendall(HALF[sent])
        dripping = stack.enter_context(drip([one.sock for one in held] if "half" in sent else []))
        other = stack.enter_context(closing(Connection(place)))
        other.timeout = 60
        assert other.ask("/")
        if sent == "nothing":
            return  # it holds no thread, and may go on saying nothing for a while
        assert until(lambda: all(map(ended, held)), 60)
        assert dripping.is_set() is False


@pytest.mark.parametrize("family", ["unix", "network"])
def test_an_ended_connection_that_the_client_leaves_open_holds_nobody(serve, tmp_path, family):
    """Nor is the worker taken for dead, as it was while it waited for each in its main thread."""
    place = str(tmp_path / "s") if family == "unix" else port()
    serve(place)
    with ExitStack() as stack:
        other = stack.enter_context(closing(Connection(place)))
        other.timeout = 60
        pid = other.ask("/pid")
        left = [stack.enter_context(closing(Connection(place))) for _ in range(20)]
        for connection in left:
            connection.connect()
            connection.sock.sendall(b"GET / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n")
        assert until(lambda: all(map(ended, left)), 60), "the client is told the end at once"
        for _ in range(20):
            assert other.ask("/pid") == pid
        assert other.ask("/pid") == pid


@contextmanager
def drip(sockets):
    """Send a byte to each several times a second, until the end or until it is closed."""
    over = threading.Event()

    def send():
        while not over.wait(0.2):
            for one in sockets:
                with suppress(OSError):
                    one.send(b"x")

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield over
    finally:
        over.set()
        thread.join()


def ended(connection: Connection) -> bool:
    """Tell whether the server has closed a connection, reading whatever it said before."""
    connection.sock.setblocking(False)
    try:
        while connection.sock.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def until(true, seconds: float) -> bool:
    """Tell whether something is so, or comes to be so in time."""
    deadline = time.monotonic() + seconds
    while not (so := true()) and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
    return so


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
