"""Checkpoints reach a collector over TLS, one that proves its name, and nobody waits for it."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest

from plugins.audit_log import syslog
from plugins.audit_log.syslog import Collector, Sender, frame
from secureml.cli import certificates


class Listener:
    """A collector on loopback: takes connections until it is closed, and keeps what came."""

    def __init__(self, tls: Path) -> None:
        self.got, self.came = b"", threading.Event()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls / "server.crt", tls / "server.key")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._context = context
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    while piece := connection.recv(65536):
                        self.got += piece
                        self.came.set()
            except OSError:
                continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    (tmp_path / "tls").mkdir(mode=0o700)
    certificates.make(
        tmp_path / "tls", ["localhost", "127.0.0.1"], datetime.datetime.now(datetime.UTC)
    )
    return tmp_path / "tls"


def test_a_message_is_framed_as_the_rfcs_say() -> None:
    made = frame('{"seq":1}', "2026-01-01T00:00:00.000Z", "host")
    length, _, message = made.partition(b" ")
    assert int(length) == len(message)
    assert message.startswith(b"<109>1 2026-01-01T00:00:00.000Z host secureml ")
    assert message.endswith(b' checkpoint - {"seq":1}')


def test_checkpoints_arrive(tls: Path) -> None:
    listener = Listener(tls)
    sender = Sender(Collector("localhost", listener.port, str(tls / "ca.crt")))
    for n in range(3):
        sender.send(b'{"seq":%d}\n' % n, "2026-01-01T00:00:00.000Z")
    sender.close()
    listener.close()
    assert [f'{{"seq":{n}}}'.encode() in listener.got for n in range(3)] == [True] * 3
    assert sender.pending() == 0


def test_a_collector_that_cannot_prove_its_name_gets_nothing(tls: Path) -> None:
    listener = Listener(tls)
    sender = Sender(Collector("localhost", listener.port), retry=0.01)  # no authority signed it
    sender.send(b"{}", "t")
    sender.close(1)
    listener.close()
    assert listener.got == b""
    assert sender.pending() == 1


def test_what_waits_is_sent_when_the_collector_comes_back(tls: Path) -> None:
    listener = Listener(tls)
    port = listener.port
    listener.close()
    sender = Sender(Collector("localhost", port, str(tls / "ca.crt")), retry=0.01)
    sender.send(b'{"seq":1}', "t")
    again = Listener(tls)
    sender._collector = Collector("localhost", again.port, str(tls / "ca.crt"))
    assert again.came.wait(10)
    sender.close()
    again.close()
    assert b'{"seq":1}' in again.got


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog.Sender, "_deliver", lambda _: (_ for _ in ()).throw(OSError))
    sender = Sender(Collector("localhost", 1), retry=60.0)
    for n in range(syslog.QUEUE_LIMIT + 50):
        sender.send(b"%d" % n, "t")
    assert sender.pending() == syslog.QUEUE_LIMIT
    sender.close(1)
