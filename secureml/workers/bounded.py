"""A Gunicorn worker that clients cannot hold by being slow, or by staying where it has ended.

A request must be there in time, as a whole: a client that sends a byte now and then would hold a
thread for as long as it likes. Connections that say nothing hold none. A client that does not
take its answer is dropped, and one that leaves its ended connection open keeps nobody.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http import get_parser  # type: ignore[import-untyped]  # ships no types
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.sock import ssl_wrap_socket  # type: ignore[import-untyped]
from gunicorn.util import close  # type: ignore[import-untyped]
from gunicorn.workers.gthread import (  # type: ignore[import-untyped]
    _DEFER,
    ThreadWorker,
)

_FAREWELL = 2.0  # seconds that a client has to close a connection we have ended
_FAREWELLS = 200  # connections that may have them at the same time


class Arrival(SocketUnreader):  # type: ignore[misc]  # the same
    """The bytes of a connection, each request of which must have arrived by a time.

    One that has not ends as if the client had gone: Gunicorn drops half a header without a word,
    and the application finds a body too short.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._until, self.late = 0.0, False

    def expect(self, seconds: float) -> None:
        """Begin a request: header and body together may take so many seconds."""
        self._until = time.monotonic() + seconds

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return what has come, or nothing when the time is over."""
        left = self._until - time.monotonic()
        if left > 0:
            self.sock.settimeout(left)  # of a socket with TLS, the whole of one call
            try:
                received: bytes = super().chunk(size_hint)
            except TimeoutError:
                pass
            else:
                return received
        self.late = True
        return b""


class BoundedWorker(ThreadWorker):  # type: ignore[misc]  # the same
    """gthread, with an end to whatever a client may draw out."""

    # Seconds in which a request must have arrived, and a client must have taken each part of its
    # answer: what nginx.conf gives them (client_header_timeout, send_timeout).
    arrival = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parting: dict[Any, float] = {}  # connections, and until when they are waited for

    def handle_in_time(self, conn: Any) -> Any:
        """Answer a request of a connection as gthread does, if it is there in time."""
        if not conn.initialized:
            # Nginx sends as soon as it is connected; who has said nothing yet holds no thread.
            if not conn.wait_for_data(0):
                return _DEFER
            if not self._begin(conn):
                return False
        conn.parser.unreader.expect(self.arrival)
        goes_on = super().handle(conn)
        return goes_on and not conn.parser.unreader.late

    def _begin(self, conn: Any) -> bool:
        """Begin a connection as TConn.init does, but with an end to the handshake as well."""
        conn.close = partial(self._part, conn)
        try:
            conn.sock.settimeout(self.arrival)
            if self.cfg.is_ssl:
                conn.sock = ssl_wrap_socket(conn.sock, self.cfg)
                conn.sock.do_handshake()
        except OSError as error:
            self.log.debug("a connection could not be started: %s", error)
            return False
        conn.parser = get_parser(self.cfg, conn.sock, conn.client)
        conn.parser.unreader = Arrival(conn.sock)
        conn.initialized = True
        return True

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Have one request answered, to a client that takes the answer."""
        conn.sock.settimeout(self.arrival)
        try:
            return super().handle_request(req, conn)
        except TimeoutError as error:
            # Gunicorn would write a traceback for each who does not.
            raise BrokenPipeError(errno.EPIPE, "the client did not read its answer") from error

    # -- the end of a connection ---------------------------------------------------------------

    def _part(self, conn: Any, graceful: bool = False) -> None:
        """Close a connection; politely, so that the client reads the end of its answer first.

        TCP drops what was not read yet when a socket is closed that has something to read. So the
        client is told the end and given a moment to close. Gunicorn spends that moment in the
        main thread: fifteen clients who let it pass would hold the worker until it is taken for
        dead. Here the poller minds them, and one who sent no whole request is not waited for.
        """
        begun = conn.parser is not None and not conn.parser.unreader.late
        if not graceful or not begun or len(self._parting) >= _FAREWELLS:
            close(conn.sock)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.settimeout(0)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError, KeyError, RuntimeError):
            close(conn.sock)  # the client has left, or the worker is about to
            return
        self._parting[conn] = time.monotonic() + _FAREWELL
        self.nr_conns += 1  # it was counted off; an end that is asked for waits for it

    def _drain(self, conn: Any, _socket: Any) -> None:
        try:
            gone = not conn.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._forget(conn)

    def _forget(self, conn: Any) -> None:
        del self._parting[conn]
        self.nr_conns -= 1
        with suppress(OSError, ValueError, KeyError):
            self.poller.unregister(conn.sock)
        close(conn.sock)

    def murder_pending(self) -> None:
        """Close what has said nothing for long, and those who let their moment pass."""
        super().murder_pending()
        now = time.monotonic()
        while self._parting and (first := next(iter(self._parting.items())))[1] <= now:
            self._forget(first[0])

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or stop to take new connections; for good, where this worker is about to end.

        Kept open until the last answer is given, the socket would go on taking connections in
        that nobody looks at, and drop them in the end. One that systemd or a successor holds as
        well stays open with them.
        """
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()
