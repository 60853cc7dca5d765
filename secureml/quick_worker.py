"""A Gunicorn worker that answers quick requests in the thread they arrive in.

Gunicorn's own gthread hands each request to a thread of its pool and takes the connection back
afterwards: four changes of thread a request, and at each system call another thread that was
waiting for the interpreter. For a model that answers in a millisecond that is a fifth of all
the work. So while requests are quick, they are answered one after the other. As soon as one is
slow (a large batch, an identity provider that does not answer) a deputy minds the connections
in its place, and requests go to the pool, where they do not wait for each other, until all have
been quick for a while.

Only what comes over a unix socket is answered so: there Nginx sends whole requests at once.
A client of the network could send half a request, and the worker would wait for the rest.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from gunicorn.workers.gthread import (  # type: ignore[import-untyped]  # ships no types
    ThreadWorker,
)

from secureml.corridor.stopping import contained

_LOOK = 0.01  # seconds after which it is looked who else has come
_WELCOMED = 4  # connections at a time: the other workers want their share


class Pace:
    """Whether requests have been quick for long enough; times in seconds of a clock that only
    goes forward."""

    slow = 0.25  # one that takes longer must not be waited for; on a busy machine many take 0.1
    steady = 5.0  # so long none was slow
    enough = 50  # and so many were quick

    def __init__(self, now: float) -> None:
        self._since, self._count = now, 0

    def note(self, began: float, ended: float) -> None:
        """Take down one request; threads may do so at once, for the worst that comes of it is
        a request in the pool that need not be there."""
        if ended - began > self.slow:
            self._since, self._count = ended, 0
        else:
            self._count += 1

    def is_quick(self, now: float) -> bool:
        """Tell whether the next request will hardly be slow."""
        return self._count >= self.enough and now - self._since >= self.steady


class _Done:
    """What the worker's own end of a request takes for a future."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._result


class QuickWorker(ThreadWorker):  # type: ignore[misc]  # the same
    """gthread, with a shorter way for quick requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pace = Pace(time.monotonic())
        self._busy: float | None = None  # since when the main thread answers a request itself
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
            result = self.handle(conn)
        finally:
            with self._minding:
                self._busy = None
        self.finish_request(conn, _Done(result))

    def handle(self, conn: Any) -> Any:
        """Answer a request of a connection, in whatever thread this is.

        What would end the process is held by the application, up to where an answer is sent;
        what a view left to be done once it has been sent may raise such a thing as well.
        """
        try:
            return self._answer(conn)
        except Exception:
            raise
        except BaseException as error:  # a signal's own is raised again
            self.log.exception("a request may not end its worker", exc_info=contained(error))
            return False

    def _answer(self, conn: Any) -> Any:
        if not conn.initialized:
            return super().handle(conn)  # part of its time is that of a client's first word
        began = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self.pace.note(began, time.monotonic())

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
            time.sleep(Pace.slow)
            while (since := self._busy) is not None and time.monotonic() - since > Pace.slow:
                try:
                    self._stand_in(since)
                except Exception:
                    # A connection that broke just now; the next look will not find it.
                    self.log.exception("the deputy could not answer for a connection")
                    time.sleep(Pace.slow)

    def _stand_in(self, since: float) -> None:
        """Do once what the main thread would, were it not busy with one slow request."""
        # It lives: where native code holds the interpreter, nobody gets to say so here.
        self.notify()
        events = self.poller.select(Pace.slow)
        with self._minding:
            if self._busy != since:
                return
            self._overtaken = True
            for key, _ in events:
                # Another of these may have closed it.
                if self.poller.get_map().get(key.fileobj) is key:
                    key.data(key.fileobj)
            self.murder_keepalived()
            self.murder_pending()
