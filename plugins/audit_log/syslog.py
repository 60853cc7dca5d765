"""Checkpoints to a collector on another machine: syslog (RFC 5424) over TLS (RFC 5425).

Guarantees: sending never makes a request wait; the collector must prove its name; what cannot be
delivered is tried again, the latest checkpoints first to be kept, and measured as waiting.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from collections import deque
from dataclasses import dataclass

log = logging.getLogger("secureml.audit_log")

PRIORITY = 13 * 8 + 5  # facility "log audit", severity notice
QUEUE_LIMIT = 1000  # checkpoints that wait for a collector that is away; each later one covers them
TIMEOUT = 5.0  # seconds for a connection, and between two attempts


@dataclass(frozen=True, slots=True)
class Collector:
    """Where to: a host name that its certificate proves, a port, and whom we believe."""

    host: str
    port: int = 6514
    authority: str | None = None


def frame(text: str, time: str, name: str) -> bytes:
    """Return one message with its length before it (RFC 5425, section 4.3)."""
    message = f"<{PRIORITY}>1 {time} {name} secureml {os.getpid()} checkpoint - {text}".encode()
    return b"%d %s" % (len(message), message)


class Sender:
    """Sends from a thread of its own, begun with the first message in each process."""

    def __init__(self, collector: Collector, retry: float = TIMEOUT) -> None:
        self._collector, self._retry = collector, retry
        self._name = socket.gethostname()[:255] or "-"
        self._queue: deque[bytes] = deque(maxlen=QUEUE_LIMIT)
        self._queued, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def send(self, line: bytes, time: str) -> None:
        """Take a checkpoint line to be sent."""
        if self._pid != os.getpid():
            self._start()
        self._queue.append(frame(line.decode().strip(), time, self._name))
        self._queued.set()

    def pending(self) -> int:
        """Return how many are not delivered yet."""
        return len(self._queue)

    def close(self, seconds: float = TIMEOUT) -> None:
        """Give what waits one more chance, for so long."""
        if self._thread is None or self._pid != os.getpid():
            return
        self._stop.set()
        self._queued.set()
        self._thread.join(seconds)
        self._pid = 0  # a later message begins anew

    def _start(self) -> None:
        # What waited before a fork is the parent's to send.
        self._queue = deque(maxlen=QUEUE_LIMIT)
        self._queued, self._stop, self._pid = threading.Event(), threading.Event(), os.getpid()
        self._thread = threading.Thread(target=self._run, name="audit-syslog", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not (self._stop.is_set() and not self._queue):
            self._queued.wait()
            self._queued.clear()
            try:
                self._deliver()
            except OSError as error:
                log.warning("checkpoints wait for the collector (%s)", type(error).__name__)
                if self._stop.wait(self._retry):
                    return
                self._queued.set()

    def _deliver(self) -> None:
        if not self._queue:
            return
        context = ssl.create_default_context(cafile=self._collector.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        place = (self._collector.host, self._collector.port)
        with (
            socket.create_connection(place, timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=self._collector.host) as connection,
        ):
            while self._queue:
                message = self._queue[0]
                connection.sendall(message)
                if self._queue and self._queue[0] is message:
                    self._queue.popleft()
            # Close_notify both ways: a collector that never read it is found out here.
            connection.unwrap()
