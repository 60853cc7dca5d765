"""A Gunicorn worker that answers quick requests in the thread they arrive in.

Gunicorn's own gthread hands each request to a thread of its pool and takes the connection back
afterwards: four changes of thread a request, and at each system call another thread that was
waiting for the interpreter. For a model that answers in a millisecond that is a fifth of all
the work. So while requests are quick, they are answered one after the other; as soon as one is
slow (a large batch, an identity provider that does not answer), requests go to the pool again,
where they do not wait for each other, until all have been quick for a while.

Only what comes over a unix socket is answered so: there Nginx sends whole requests at once.
A client of the network could send half a request, and the worker would wait for the rest.
"""

from __future__ import annotations

import time
from typing import Any

from gunicorn.workers.gthread import (  # type: ignore[import-untyped]  # ships no types
    ThreadWorker,
)


class Pace:
    """Whether requests have been quick for long enough; times in seconds of a clock that only
    goes forward."""

    slow = 0.1  # one that takes longer must not be waited for
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
        self._answering = False

    def enqueue_req(self, conn: Any) -> None:
        """Answer here, or hand to the pool; called in the main thread alone."""
        # One that has been answered before has sent its request: its socket became readable.
        whole = conn.initialized and not conn.client
        # Requests sent without waiting for answers would each be answered within the last.
        if not whole or self._answering or not self.pace.is_quick(time.monotonic()):
            super().enqueue_req(conn)
            return
        self._answering = True
        try:
            self.finish_request(conn, _Done(self.handle(conn)))
        finally:
            self._answering = False

    def handle(self, conn: Any) -> Any:
        """Answer a request of a connection, in whatever thread this is."""
        if not conn.initialized:
            return super().handle(conn)  # part of its time is that of a client's first word
        began = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self.pace.note(began, time.monotonic())
