"""Counts what this worker sees, and from a thread of its own writes it down and judges.

A request pays for a few additions under a lock; no request waits for the store or the forest.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from .guard import Deed, Terms, deeds
from .window import Fact, Window

if TYPE_CHECKING:
    import sqlalchemy as sa

    from .bars import Bars
    from .baseline import Baseline
    from .ledger import Ledger

log = logging.getLogger("secureml.anomaly")

MOST_SUBJECTS = 10_000  # in one span and worker; whoever comes after them is not counted
SETTLE = 2.0  # flushes that a window waits for the other workers before it is judged


class _Teller(Protocol):
    def __call__(self, deed: Deed) -> None: ...


class Spans:
    """How time is cut, in seconds: windows, and how often counts are written down."""

    def __init__(self, window: float, flush: float) -> None:
        self.window, self.flush = window, flush

    def start(self, now: float) -> float:
        """Return when the window that holds a moment began."""
        return now - now % self.window

    def judged(self, now: float) -> float:
        """Return until when windows are whole: every worker has written what it saw."""
        return self.start(now - SETTLE * self.flush)


class Watcher:
    """One worker's counts, and its turn at judging."""

    def __init__(
        self,
        ledger: Ledger,
        bars: Bars,
        spans: Spans,
        terms: Terms,
        least: int,
        now: Callable[[], float],
        tell: _Teller,
    ) -> None:
        self._ledger, self._bars, self._spans = ledger, bars, spans
        self._terms, self._least, self._now, self._tell = terms, least, now, tell
        self.baseline: Callable[[], Baseline | None] = lambda: None
        self.also: Callable[[], None] = lambda: None  # what else is written each time
        self._forget()

    def _forget(self) -> None:
        """Start anew in a process of our own: a fork copies no threads and half-held locks."""
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._counts: dict[tuple[str, float], Window] = {}
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self.overlooked = 0

    def note(self, subjects: tuple[str, ...], fact: Fact) -> None:
        """Count one request for each of its subjects, in this worker."""
        if self._pid != os.getpid():
            self._forget()
        start = self._spans.start(self._now())
        with self._lock:
            for subject in subjects:
                window = self._counts.get((subject, start))
                if window is None:
                    if len(self._counts) >= MOST_SUBJECTS:
                        self.overlooked += 1
                        continue
                    window = self._counts[subject, start] = Window()
                window.add(fact)

    def run(self) -> None:
        """Have a thread write and judge, if this process has none yet."""
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._go, name="anomaly", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what is left and end the thread."""
        if self._pid != os.getpid() or self._thread is None:
            return
        self._over.set()
        self._thread.join(self._spans.flush)

    def _go(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._spans.flush)
            try:
                self.flush()
                self.also()
                self.judge()
            except Exception:  # a store that is away for a while must not end the watching
                log.exception("windows could not be written or judged")

    def flush(self) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            counted, self._counts = self._counts, {}
        try:
            self._ledger.write(counted)
        except Exception:
            self._put_back(counted)
            raise

    def _put_back(self, counted: dict[tuple[str, float], Window]) -> None:
        with self._lock:
            for key, window in counted.items():
                if key in self._counts:
                    self._counts[key].merge(window)
                elif len(self._counts) < MOST_SUBJECTS:
                    self._counts[key] = window
                else:
                    self.overlooked += 1

    def judge(self) -> list[Deed]:
        """Judge the windows that have become whole, if it is this worker's turn."""
        baseline = self.baseline()
        if baseline is None:
            return []
        holder = f"{os.uname().nodename[:40]}:{os.getpid()}"
        since = self._ledger.lease(holder, 6 * self._spans.flush)
        until = self._spans.judged(self._now())
        if since is None or until <= since:
            return []
        done = self._judge(baseline, since, until)
        with self._ledger.begin() as connection:
            if not self._ledger.settle(connection, holder, until, [deed.standing for deed in done]):
                return []
            done = [deed for deed in done if self._bar(connection, deed)]
        for deed in done:
            if deed.told or deed.bar is not None:
                self._tell(deed)
        return done

    def _bar(self, connection: sa.Connection, deed: Deed) -> bool:
        seen = deed.standing.start
        return deed.bar is None or self._bars.set(connection, deed.bar, seen)

    def _judge(self, baseline: Baseline, since: float, until: float) -> list[Deed]:
        forgiven = self._bars.forgiven()
        windows = [
            (subject, start, window)
            for (subject, start), window in self._ledger.whole(since, until).items()
            if window.requests >= self._least and start > forgiven.get(subject, 0.0)
        ]
        verdicts = baseline.judge([window.features() for _, _, window in windows])
        before = {
            subject: standing
            for subject, standing in self._ledger.standings({s for s, _, _ in windows}).items()
            if standing.start > forgiven.get(subject, 0.0)
        }
        judged = [(s, t, v) for (s, t, _), v in zip(windows, verdicts, strict=True)]
        return deeds(judged, before, self._terms, self._now())
