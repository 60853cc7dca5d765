"""Refusals as they are written down: the first of a subject one by one, the rest by their number.

Strangers choose how often they are refused, and a record of a kilobyte for each would fill a
disk in a day; a disk that is full withholds everybody's answers. So in each window the first
refused requests of a subject are written in full by whoever keeps records, and from then on they
are counted, by status, code and route; at the end of the window, or of the worker, each number is
told as one event. Nothing is lost: what was written in full and what was counted add up to what
was refused. Answers are no matter of this module: each keeps its record.

Everything here has an end: subjects, kinds of refusal of one subject, and what is written in one
window for all of them together. Strangers, known by their address, and callers, known by name,
have each their own share, so that no flood from outside hides what a client does. What does not
fit is counted in one shared record of all the others.

Knows no Flask. One object belongs to one process; a fork begins with nothing.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from secureml.kit.networks import host_prefix, parse_address
from secureml.pipeline.events import Event
from secureml.pipeline.refusal_counts import OTHER_SUBJECTS, Noted, Number, Pool, Refused, What

log = logging.getLogger("secureml.pipeline")

CLIENT, ADDRESS = "client", "address"
UNKNOWN_ADDRESS = "unknown"
# Nginx, and nobody behind it, is told so which answers it need not write down one by one.
COUNTED_HEADER = "X-SecureML-Counted"
COUNTED = "refusals_counted"
EVENTS_COUNTED = "refusal_events_counted"
_FACTS = 200  # characters of the facts of an event that is counted


class RecordingPolicy(NamedTuple):
    """What the operator says: how many of one subject are written in full in so many seconds."""

    in_full: int = 20
    window: float = 60.0


class Refusals:
    """Decides of each refused request how it is written down; emits the numbers with ``tell``."""

    def __init__(
        self,
        tell: Callable[[Event], None],
        now: Callable[[], float],
        policy: RecordingPolicy | None = None,
    ) -> None:
        self._emit, self._now, self._policy = tell, now, policy or RecordingPolicy()
        self._forget()

    def _forget(self) -> None:
        # After a fork: the parent's numbers are the parent's to tell, and its locks may be held.
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._telling = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._ends = 0.0
        self._pools = self._fresh()

    def _fresh(self) -> dict[str, Pool]:
        return {sort: Pool(sort, self._policy.in_full) for sort in (CLIENT, ADDRESS)}

    def weigh(self, exchange: Any) -> bool:
        """Mark a refused exchange as counted where its subject has had its share in this window.

        Tell whether it was marked now; an exchange is weighed once.
        """
        if exchange.status < 400 or exchange.weighed_once():
            return False
        if self._pid != os.getpid():
            self._forget()
        now = self._now()
        if self._thread is None and now >= self._ends:
            # Nobody has said that this is a worker (`start`), so the requests turn the windows.
            self._turn(now)
        sort, subject = _subject_of(exchange)
        with self._lock:
            pool = self._pools[sort]
            account = pool.account(subject)
            noted = [(event, _noted(event)) for event in exchange.events]
            if pool.takes(account):
                for _, each in noted:
                    pool.remember(account, each)
                return False
            one = Number(1, now, now)
            problem = exchange.problem
            code = problem.code if problem is not None else ""
            pool.count(account, Refused(exchange.status, code, exchange.route), one)
            news = []
            for event, each in noted:
                if pool.is_news(account, each):
                    news.append(event)
                else:
                    pool.count(account, each, one)
        exchange.count_only(news)
        return True

    def start(self) -> None:
        """Have a thread tell the numbers at the end of each window; once in a worker."""
        if self._pid != os.getpid():
            self._forget()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Tell what has been counted so far, and end the thread."""
        if self._pid != os.getpid():
            return
        self._stopped.set()
        self.flush()
        if lost := sum(n.count for p in self._pools.values() for _, _, n in p.numbers()):
            log.error("%d refusals and events of refusals were counted and not written down", lost)

    def _run(self) -> None:
        stopped = self._stopped
        while not stopped.wait(self._policy.window):
            self.flush()

    def _turn(self, now: float) -> None:
        self._ends = now + self._policy.window
        self.flush()

    def flush(self) -> None:
        """Begin another window and tell the numbers of this one.

        What cannot be told now is added to the next window: a disk that is full loses none.
        """
        with self._telling:
            with self._lock:
                pools, self._pools = self._pools, self._fresh()
            waiting = [
                (sort, *each) for sort, pool in pools.items() for each in sorted_numbers(pool)
            ]
            for index, (_, subject, what, number) in enumerate(waiting):
                try:
                    self._emit(_event(subject, what, number))
                except Exception:
                    log.exception("numbers of refused requests could not be written down yet")
                    self._put_back(waiting[index:])
                    return

    def _put_back(self, waiting: list[tuple[str, str, What, Number]]) -> None:
        with self._lock:
            for sort, subject, what, number in waiting:
                pool = self._pools[sort]
                pool.count(pool.account(subject), what, number)


def sorted_numbers(pool: Pool) -> list[tuple[str, What, Number]]:
    """Return the numbers in the order in which they began."""
    return sorted(pool.numbers(), key=lambda each: each[2].first)


def _subject_of(exchange: Any) -> tuple[str, str]:
    if exchange.principal is not None:
        return CLIENT, f"{CLIENT}:{exchange.principal.client}"
    address = exchange.client_address
    known = parse_address(address) is not None
    return ADDRESS, f"{ADDRESS}:{host_prefix(address) if known else UNKNOWN_ADDRESS}"


def _noted(event: Event) -> Noted:
    return Noted(event.name, event.client, tuple(sorted(event.facts.items())))


def _event(subject: str, what: What, number: Number) -> Event:
    client = subject.partition(":")[2] if subject.startswith(f"{CLIENT}:") else ""
    client = "" if client == OTHER_SUBJECTS else client
    first, last = _rfc3339(number.first), _rfc3339(number.last)
    if isinstance(what, Refused):
        return Event(
            COUNTED,
            client,
            {
                "subject": subject,
                "status": what.status,
                "code": what.code,
                "route": what.route,
                "count": number.count,
                "first": first,
                "last": last,
            },
        )
    return Event(
        EVENTS_COUNTED,
        what.client or client,
        {
            "subject": subject,
            "event": what.name,
            "told": ", ".join(f"{name}={value}" for name, value in what.facts)[:_FACTS],
            "count": number.count,
            "first": first,
            "last": last,
        },
    )


def _rfc3339(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
