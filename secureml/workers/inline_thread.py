"""A Gunicorn worker that answers quick requests in the thread they arrive in.

Gunicorn's own gthread hands each request to a thread of its pool and takes the connection back
afterwards: four changes of thread a request, and at each system call another thread that was
waiting for the interpreter. For a model that answers in a millisecond that is a fifth of all
the work. So while requests are quick, they are answered one after the other. Where some are not
(large batches, a slow model, an identity provider that is waited for), requests go to the pool,
where they do not wait for each other, until all have been quick for a while. Should one turn out
slow while others wait behind it, a deputy minds the connections in its place.

Only for a unix socket: there Nginx sends each request in one piece.
A client of the network could send half a request, and the worker would wait for the rest.
"""

from __future__ import annotations

import resource
import threading
import time
from typing import Any

from secureml.pipeline.exit_signals import contained
from secureml.workers.bounded import BoundedWorker
from secureml.workers.latency_budget import Pace, took

_LOOK = 0.01  # seconds after which it is looked who else has come
_WELCOMED = 4  # connections at a time: the other workers want their share
_PATIENCE = 0.05  # seconds that the main thread may be busy before the second thread takes over


class _Done:
    """What the worker's own end of a request takes for a future."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._result


class InlineThreadWorker(BoundedWorker):
    """gthread, with a shorter way for quick requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pace = Pace(time.monotonic())
        self._busy: float | None = None  # since when the main thread answers a request itself
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
            return self.handle_in_time(conn)
        finally:
            now = time.monotonic()
            spent = now - began
            if spent > self.pace.slice:  # less than that neither computing nor waiting can be
                after = resource.getrusage(resource.RUSAGE_THREAD)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                spent = took(spent, cpu, after.ru_nvcsw - before.ru_nvcsw)
            self.pace.note(spent, now)

    def handle_in_time(self, conn: Any) -> Any:
        """Answer a request of a connection, in whatever thread this is.

        What would end the process is held by the application, up to where an answer is sent;
        what a view left to be done once it has been sent may raise such a thing as well.
        """
        try:
            return super().handle_in_time(conn)
        except Exception:
            raise
        except BaseException as error:  # a signal's own is raised again
            self.log.exception("a request must not end its worker", exc_info=contained(error))
            return False

    def handle(self, conn: Any) -> Any:
        """Answer a request of a connection, in a thread of the pool.

        Only what it computes is counted: its waiting keeps nobody from an answer, and is not to
        be told from its waiting for the interpreter.
        """
        before = time.thread_time()
        try:
            return self.handle_in_time(conn)
        finally:
            if conn.initialized:  # else it has said nothing yet, and nothing was done
                self.pace.note(time.thread_time() - before, time.monotonic())

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

    def _deputize(self) -> None:
        while True:
            time.sleep(_PATIENCE)
            while (since := self._busy) is not None and time.monotonic() - since > _PATIENCE:
                try:
                    self._stand_in(since)
                except Exception:
                    # A connection that broke just now; the next look will not find it.
                    self.log.exception("the second thread could not serve a connection")
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
