"""A Gunicorn worker that answers quick requests in the thread they arrive in.

Gunicorn's own gthread hands each request to a thread of its pool and takes the connection back
afterwards: four changes of thread a request, and at each system call another thread that was
waiting for the interpreter. For a model that answers in a millisecond that is a fifth of all
the work. So while requests are quick, they are answered one after the other. Where some are not
(large batches, a slow model, an identity provider that is waited for), requests go to the pool,
where they do not wait for each other, until all have been quick for a while. Should one turn out
slow while others wait behind it, a deputy minds the connections in its place.

Only what comes over a unix socket is answered so: there Nginx sends whole requests at once.
A client of the network could send half a request, and the worker would wait for the rest.

Whoever sends it, a request must be there in time, as a whole: a client that sends a byte now and
then would hold a thread for as long as it likes. Connections that say nothing hold none.
"""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import threading
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

_LOOK = 0.01  # seconds after which it is looked who else has come
_WELCOMED = 4  # connections at a time: the other workers want their share
_FAREWELL = 2.0  # seconds that a client has to close a connection we have ended
_FAREWELLS = 200  # connections at once that are given them
_PATIENCE = 0.05  # seconds that the main thread may be busy before the deputy stands in


class Pace:
    """Whether the next request may be answered while others wait; times in seconds.

    Counted is by how much requests were longer than the interpreter would let one thread run
    while others wait for it: so long a wait they have in the pool as well. Of that, a hundredth
    of all time is forgiven, so that a hiccup changes nothing; a batch of 45 ms is more.

    What is counted is work and waiting, not the time in which the machine ran something else:
    on a busy one each request is interrupted, and the pool would make that no better.
    """

    slice = 0.005  # sys.getswitchinterval(), unless somebody changes it
    forgiven = 0.01  # seconds of a second
    most = 0.03  # so much may be owed and requests still be answered one after the other
    ceiling = 0.05  # nothing is held against them for longer than five seconds
    enough = 50  # requests that must have been quick before the first is answered at once

    def __init__(self, now: float) -> None:
        self._owed, self._as_of = self.ceiling, now
        self._count, self._quick = 0, False

    def note(self, took: float, now: float) -> None:
        """Take down what a request took of its thread.

        Threads may do so at once: the worst that comes of it is that one goes uncounted.
        """
        owed = self._still_owed(now) + max(0.0, took - self.slice)
        self._owed, self._as_of = min(owed, self.ceiling), now
        self._count = 0 if took > self.slice else self._count + 1
        if owed > self.most:
            self._quick = False

    def is_quick(self, now: float) -> bool:
        """Tell whether the next request will hardly keep others waiting."""
        if not self._quick and self._still_owed(now) <= 0 and self._count >= self.enough:
            self._quick = True
        return self._quick

    def _still_owed(self, now: float) -> float:
        return max(0.0, self._owed - self.forgiven * (now - self._as_of))


def took(wall: float, cpu: float, waits: int) -> float:
    """Return for how long a request kept its thread from others, in seconds.

    ``wall`` is how long it lasted, ``cpu`` how much of that it computed, and ``waits`` how often
    it gave up the processor to wait for something. Where it never did, the rest of its time is
    that of other processes.
    """
    return wall if waits else cpu


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


class _Done:
    """What the worker's own end of a request takes for a future."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._result


class QuickWorker(ThreadWorker):  # type: ignore[misc]  # the same
    """gthread, with a shorter way for quick requests, and an end to slow ones."""

    # Seconds in which a request must have arrived, and a client must have taken each part of its
    # answer: what nginx.conf gives them (client_header_timeout, send_timeout).
    arrival = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pace = Pace(time.monotonic())
        self._busy: float | None = None  # since when the main thread answers a request itself
        self._parting: dict[Any, float] = {}  # connections, and until when they are waited for
        self._returning = False  # it has answered, and waits for the deputy to step aside
        self._minding = threading.Lock()  # held by whoever changes what is known of connections
        self._overtaken = False  # the deputy has minded them since the main thread last looked

    def init_process(self) -> None:
        """Begin the deputy in the process that serves."""
        threading.Thread(target=self._deputize, name="deputy", daemon=True).start()
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """Answer here, or hand to the pool."""
        # One that has been answered before has sent its request: its socket became readable.
        whole = conn.initialized and not conn.client
        now = time.monotonic()
        # Busy already: it is the deputy who asks, or a request sent without waiting for answers,
        # and each of those would be answered within the last.
        if not whole or self._busy is not None or not self.pace.is_quick(now):
            super().enqueue_req(conn)
            return
        self._busy = now
        try:
            result = self._answer_here(conn, now)
        finally:
            # Before the lock: the deputy would take it again and again while requests come in.
            self._returning = True
            with self._minding:
                self._busy, self._returning = None, False
        self.finish_request(conn, _Done(result))

    def _answer_here(self, conn: Any, began: float) -> Any:
        before = resource.getrusage(resource.RUSAGE_THREAD)
        try:
            return self._handle_in_time(conn)
        finally:
            now = time.monotonic()
            spent = now - began
            if spent > self.pace.slice:  # less than that neither computing nor waiting can be
                after = resource.getrusage(resource.RUSAGE_THREAD)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                spent = took(spent, cpu, after.ru_nvcsw - before.ru_nvcsw)
            self.pace.note(spent, now)

    def handle(self, conn: Any) -> Any:
        """Answer a request of a connection, in a thread of the pool.

        Only what it computes is counted: its waiting keeps nobody from an answer, and is not to
        be told from its waiting for the interpreter.
        """
        before, result = time.thread_time(), None
        try:
            result = self._handle_in_time(conn)
        finally:
            if result is not _DEFER:
                self.pace.note(time.thread_time() - before, time.monotonic())
        return result

    def _handle_in_time(self, conn: Any) -> Any:
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
            self.log.debug("a connection did not begin: %s", error)
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
            raise BrokenPipeError(errno.EPIPE, "the client did not take its answer") from error

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

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for what happens on connections, and do what follows; in the main thread."""
        self._overtaken = False
        try:
            events = self.poller.select(timeout)
        except InterruptedError:
            return
        until = time.monotonic() + _LOOK
        for key, _ in events:
            key.data(key.fileobj)
            if self._overtaken or time.monotonic() > until:
                return  # what is left has been done, or is told again, in its turn

    def accept(self, listener: Any) -> None:
        """Take a few new connections: between two looks requests are answered, and they wait."""
        for _ in range(_WELCOMED):
            before = self.nr_conns
            super().accept(listener)
            if self.nr_conns == before:
                return

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

    def _deputize(self) -> None:
        while True:
            time.sleep(_PATIENCE)
            while (since := self._busy) is not None and time.monotonic() - since > _PATIENCE:
                try:
                    self._stand_in(since)
                except Exception:
                    # A connection that broke just now; the next look will not find it.
                    self.log.exception("the deputy could not answer for a connection")
                    time.sleep(_PATIENCE)

    def _stand_in(self, since: float) -> None:
        """Do once what the main thread would, were it not busy with one slow request."""
        # It lives: where native code holds the interpreter, nobody gets to say so here.
        self.notify()
        events = self.poller.select(_PATIENCE)
        with self._minding:
            if self._busy != since or self._returning:
                return
            self._overtaken = True
            for key, _ in events:
                # Another of these may have closed it.
                if self.poller.get_map().get(key.fileobj) is key:
                    key.data(key.fileobj)
            self.murder_keepalived()
            self.murder_pending()
