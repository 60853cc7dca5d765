"""Counts what this worker sees; a background thread writes the counts and scores windows.

A request pays for a few additions under a lock; no request waits for the store or the forest.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .decision import Action, Policy, decide
from .window import Observation, Window

if TYPE_CHECKING:
    import sqlalchemy as sa

    from .baseline import Baseline
    from .blocks import Blocks
    from .window_store import WindowStore

log = logging.getLogger("secureml.anomaly")

MAX_SUBJECTS = 10_000  # in one window and worker; whoever comes after them is not counted
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
        self._start_empty()

    def _start_empty(self) -> None:
        """Begin with nothing, also after a fork: it copies no threads, and locks that are held."""
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._counts: dict[tuple[str, float], Window] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self.dropped = 0

    def count(self, subjects: tuple[str, ...], observation: Observation) -> None:
        """Count one request for each of its subjects, in this worker."""
        if self._pid != os.getpid():
            self._start_empty()
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
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="anomaly", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what is left and end the thread."""
        if self._pid != os.getpid() or self._thread is None:
            return
        self._stopping.set()
        self._thread.join(self._schedule.flush)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._schedule.flush)
            try:
                self.flush()
                self.after_flush()
                self.score_windows()
            except Exception:  # a store that fails for a while must not end the thread
                log.exception("windows could not be written or scored")

    def flush(self) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            counted, self._counts = self._counts, {}
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
                    self.dropped += 1

    def score_windows(self) -> list[Action]:
        """Score the windows that have become complete, if this worker has the lease."""
        baseline = self.baseline()
        if baseline is None:
            return []
        holder = f"{os.uname().nodename[:40]}:{os.getpid()}"
        since = self._window_store.lease(holder, 6 * self._schedule.flush)
        until = self._schedule.scored_until(self._now())
        if since is None or until <= since:
            return []
        done = self._score_windows(baseline, since, until)
        with self._window_store.begin() as connection:
            scores = [action.score for action in done]
            if not self._window_store.save_scores(connection, holder, until, scores):
                return []
            done = [action for action in done if self._block(connection, action)]
        for action in done:
            if action.alert or action.block is not None:
                self._report(action)
        return done

    def _block(self, connection: sa.Connection, action: Action) -> bool:
        start = action.score.start
        return action.block is None or self._blocks.add(connection, action.block, start)

    def _score_windows(self, baseline: Baseline, since: float, until: float) -> list[Action]:
        lifted_at = self._blocks.lifted_at()
        windows = [
            (subject, start, window)
            for (subject, start), window in self._window_store.complete(since, until).items()
            if window.requests >= self._min_requests and start > lifted_at.get(subject, 0.0)
        ]
        scores = baseline.score([window.features() for _, _, window in windows])
        before = {
            subject: score
            for subject, score in self._window_store.scores({s for s, _, _ in windows}).items()
            if score.start > lifted_at.get(subject, 0.0)
        }
        scored = [(s, t, score) for (s, t, _), score in zip(windows, scores, strict=True)]
        return decide(scored, before, self._policy, self._now())
