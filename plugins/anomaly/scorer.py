"""Counts what this worker sees; a background thread writes the counts and scores windows.

A request pays for a few additions under a lock; no request waits for the store or the forest.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .decision import Action, Policy, decide
from .window import Observation, Window

if TYPE_CHECKING:
    import sqlalchemy as sa

    from .baseline import Baseline
    from .blocks import Blocks
    from .window_store import WindowStore

log = logging.getLogger("secureml.anomaly")

MAX_SUBJECTS = 10_000  # between two flushes of a worker; callers after them are not counted
FLUSHES_TO_WAIT = 2.0  # a window waits so long for the other workers before it is scored


class Schedule:
    """The length of a window and the time between two flushes, in seconds."""

    def __init__(self, window: float, flush: float) -> None:
        self.window, self.flush = window, flush

    def start(self, now: float) -> float:
        """Return when the window that holds a moment began."""
        return now - now % self.window

    def scored_until(self, now: float) -> float:
        """Return until when windows are complete: every worker has written what it saw."""
        return self.start(now - FLUSHES_TO_WAIT * self.flush)


class Scorer:
    """Counts the requests of one worker, and scores the windows of all while it has the lease."""

    def __init__(
        self,
        window_store: WindowStore,
        blocks: Blocks,
        schedule: Schedule,
        policy: Policy,
        min_requests: int,
        now: Callable[[], float],
        report: Callable[[Action], None],
    ) -> None:
        self._window_store, self._blocks, self._schedule = window_store, blocks, schedule
        self._policy, self._min_requests, self._now, self._report = (
            policy,
            min_requests,
            now,
            report,
        )
        self.baseline: Callable[[], Baseline | None] = lambda: None
        self.after_flush: Callable[[], None] = lambda: None  # what else is written each time
        self.after_fork: Callable[[], None] = lambda: None  # what else must not be inherited
        self.outages: tuple[type[Exception], ...] = ()  # raised while the store is away
        self.start_empty()
        _scorers.add(self)

    def start_empty(self) -> None:
        """Begin with nothing, also after a fork: it copies no threads, and locks that are held."""
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, float], Window] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self.dropped = 0  # requests since the last flush

    def count(self, subjects: tuple[str, ...], observation: Observation) -> None:
        """Count one request for each of its subjects, in this worker."""
        start = self._schedule.start(self._now())
        with self._lock:
            for subject in subjects:
                window = self._counts.get((subject, start))
                if window is None:
                    if len(self._counts) >= MAX_SUBJECTS:
                        self.dropped += 1
                        continue
                    window = self._counts[subject, start] = Window()
                window.add(observation)

    def start(self) -> None:
        """Start the thread that flushes and scores, if this process has none yet."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="anomaly", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what is left and end the thread."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join(self._schedule.flush)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._schedule.flush)
            self.run_once()

    def run_once(self) -> None:
        """Write what was counted and score what is complete; a step that fails stops no other."""
        for step, what in (
            (self.flush, "counts of callers could not be written"),
            (self.after_flush, "counts of rows could not be written"),
            (self.score_windows, "windows could not be scored"),
        ):
            try:
                step()
            except self.outages as error:
                log.warning("%s: %s; they are kept, fix: make the store reachable", what, error)
                return
            except Exception:  # the thread must not end
                log.exception("%s; it is tried again after the next flush", what)

    def flush(self) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            counted, self._counts = self._counts, {}
            dropped, self.dropped = self.dropped, 0
        if dropped:
            log.warning(
                "%d requests were not counted: more than %d callers came between two flushes; "
                "fix: limit requests in front of the server, or shorten "
                "[plugins.anomaly] flush_interval",
                dropped,
                MAX_SUBJECTS,
            )
        try:
            self._window_store.write(counted)
        except Exception:
            self._put_back(counted)
            raise

    def _put_back(self, counted: dict[tuple[str, float], Window]) -> None:
        with self._lock:
            for key, window in counted.items():
                if key in self._counts:
                    self._counts[key].merge(window)
                elif len(self._counts) < MAX_SUBJECTS:
                    self._counts[key] = window
                else:
                    self.dropped += window.requests

    def score_windows(self) -> list[Action]:
        """Score the windows that have become complete, if this worker has the lease."""
        baseline = self.baseline()
        if baseline is None:
            return []
        holder = f"{os.uname().nodename[:40]}:{os.getpid()}"
        mark = self._window_store.lease(holder, 6 * self._schedule.flush)
        now = self._now()
        until = self._schedule.scored_until(now)
        if mark is None:
            return []
        lifted_at = self._blocks.lifted_at()
        if until <= mark:
            return []
        # A window that was trained on, or that came before, is not reported.
        trained_at = baseline.trained_at if baseline.trained_at <= now else mark
        windows = self._windows(max(mark, trained_at), until, lifted_at)
        done = self._decide(baseline, windows, lifted_at)
        with self._window_store.begin() as connection:
            scores = [action.score for action in done]
            if not self._window_store.save_scores(connection, mark, until, scores):
                return []
            done = [action for action in done if self._block(connection, action)]
        for action in done:
            if action.alert or action.block is not None:
                self._report(action)
        return done

    def _block(self, connection: sa.Connection, action: Action) -> bool:
        start = action.score.start
        return action.block is None or self._blocks.add(connection, action.block, start)

    def _windows(
        self, since: float, until: float, lifted_at: Mapping[str, float]
    ) -> list[tuple[str, float, Window]]:
        """Return subject, start and window of each that is scored, in the order of time."""
        return [
            (subject, start, window)
            for (subject, start), window in self._window_store.complete(since, until).items()
            if window.requests >= self._min_requests and start > lifted_at.get(subject, 0.0)
        ]

    def _decide(
        self,
        baseline: Baseline,
        windows: list[tuple[str, float, Window]],
        lifted_at: Mapping[str, float],
    ) -> list[Action]:
        scores = baseline.score([window.features() for _, _, window in windows])
        before = {
            subject: score
            for subject, score in self._window_store.scores({s for s, _, _ in windows}).items()
            if score.start > lifted_at.get(subject, 0.0)
        }
        scored = [(s, t, score) for (s, t, _), score in zip(windows, scores, strict=True)]
        return decide(scored, before, self._policy, self._now())


_scorers: weakref.WeakSet[Scorer] = weakref.WeakSet()


def _after_fork() -> None:
    for scorer in list(_scorers):
        scorer.start_empty()
        scorer.after_fork()


os.register_at_fork(after_in_child=_after_fork)
