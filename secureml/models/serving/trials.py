"""Versions on trial in one worker: asked beside the one in use, compared, and stopped in time.

A shadow is asked the rows of a share of the requests after these were answered; it costs no
request anything but the room of its rows in a queue that is short. A canary answers a share of
the clients itself; of its answers the version in use is asked in the same way. All workers judge
by the sums of all (`Comparison`).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from secureml.models.card import Card
from secureml.models.rows.reader import Rows
from secureml.models.rows.refused import RowsRefused
from secureml.models.serving.comparison import Comparison
from secureml.models.serving.result import ModelFailed, Result
from secureml.models.serving.served_model import Candidate, ServedModel
from secureml.state.deployments import Deployment, Deployments, Trial
from secureml.state.serving_reports import ServingReports, place

if TYPE_CHECKING:
    from secureml.models.serving.handle import ModelHandle

log = logging.getLogger("secureml")

WAITING = 64  # requests whose rows wait to be compared; more are counted and not compared
_END = None


class Stopped(NamedTuple):
    """A trial that this worker has ended: nobody else had."""

    model: str
    trial: Trial
    why: str


class _Question(NamedTuple):
    served: ServedModel
    candidate: Candidate
    asked: ModelHandle
    rows: Rows
    instances: Any
    result: Result


class Trials:
    """The trials of one worker; safe for many threads.

    ``chance`` returns a number from 0 to below 1, ``clock`` nanoseconds.
    """

    def __init__(
        self,
        deployments: Deployments,
        reports: ServingReports,
        chance: Callable[[], float],
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._deployments, self._reports = deployments, reports
        self._chance, self._clock = chance, clock
        self._lock = threading.Lock()
        self._sums: dict[str, Comparison] = {}  # by run
        self._written: dict[str, Any] = {}
        self._queue: queue.Queue[_Question | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    # -- on the path of a request ------------------------------------------------------------

    def count(self, served: ServedModel, asked: ModelHandle, *, failed: bool) -> None:
        """Count a request that was answered, or failed, by one of the two versions."""
        candidate = served.candidate
        if candidate is None or not candidate.canary:
            return
        with self._lock:
            sums = self._of(candidate)
            if asked is candidate.handle:
                sums.tried.count(failed=failed)
            elif asked is served.current:
                sums.in_use.count(failed=failed)

    def answered(
        self,
        served: ServedModel,
        asked: ModelHandle,
        question: tuple[Rows, Any],
        result: Result,
        nanoseconds: int,
    ) -> None:
        """Note an answer of the model, and have the other version asked the same.

        ``question`` is the rows the model was asked about, and the instances they were read from.
        """
        candidate = served.candidate
        if candidate is None or asked not in (served.current, candidate.handle):
            return
        tried = asked is candidate.handle
        with self._lock:
            sums = self._of(candidate)
            (sums.tried if tried else sums.in_use).time(nanoseconds)
        if not self._is_compared(candidate, tried=tried):
            return
        try:
            self._queue.put_nowait(_Question(served, candidate, asked, *question, result))
        except queue.Full:
            with self._lock:
                self._of(candidate).dropped += 1
            return
        if self._thread is None:
            self._start()

    def _is_compared(self, candidate: Candidate, *, tried: bool) -> bool:
        if candidate.canary:
            return tried  # the others' requests say nothing of it
        return not tried and self._chance() < candidate.share

    def _of(self, candidate: Candidate) -> Comparison:
        return self._sums.setdefault(candidate.run, Comparison())

    # -- beside it ---------------------------------------------------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._compare_all, name="secureml-trials", daemon=True
                )
                self._thread.start()

    def _compare_all(self) -> None:
        while (question := self._queue.get()) is not _END:
            try:
                self._compare(question)
            except BaseException:  # a model's own code must not end what compares
                log.exception("two versions could not be compared")
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def _compare(self, question: _Question) -> None:
        served, candidate = question.served, question.candidate
        tried = question.asked is candidate.handle
        other = served.current if tried else candidate.handle
        begin = self._clock()
        answer = _ask(other, question)
        taken = self._clock() - begin
        with self._lock:
            sums = self._of(candidate)
            if not candidate.canary:
                sums.in_use.count(failed=False)
                sums.tried.count(failed=answer is None)
                if answer is not None:
                    sums.tried.time(taken)
            if answer is None:
                sums.add_unanswered(len(question.rows))
            elif tried:
                sums.add(answer, question.result)
            else:
                sums.add(question.result, answer)

    def settle(self) -> None:
        """Wait until everything that waits to be compared is."""
        if self._thread is not None:
            self._queue.join()

    def judge(self, current: dict[str, Deployment]) -> list[Stopped]:
        """Write this worker's sums, and end each trial that has passed a limit.

        ``current`` are the deployments as they are now. Returns what was ended here.
        """
        found = []
        for model, deployment in current.items():
            trial = deployment.trial
            if trial is not None and trial.runs:
                found += self._judge(model, trial)
        self._forget({each.trial.run for each in current.values() if each.trial})
        return found

    def _judge(self, model: str, trial: Trial) -> list[Stopped]:
        with self._lock:
            sums = self._sums.get(trial.run)
            own = sums.to_json() if sums is not None else None
        if own is None or own == self._written.get(trial.run):
            return []
        self._reports.put_comparison(trial.run, place(), own)
        self._written[trial.run] = own
        why = self.compared(trial).reason_to_stop(trial.limits)
        if not why or not self._deployments.stop_trial(model, trial.run, why):
            return []
        return [Stopped(model, trial, why)]

    def compared(self, trial: Trial) -> Comparison:
        """Return what all workers have compared in a trial."""
        return Comparison.sum(
            [Comparison.from_json(sums) for sums in self._reports.comparisons(trial.run)]
        )

    def _forget(self, runs: set[str]) -> None:
        with self._lock:
            for run in self._sums.keys() - runs:
                del self._sums[run]
        for run in self._written.keys() - runs:
            del self._written[run]

    def close(self) -> None:
        """End the thread; what waits is not compared any more."""
        if self._thread is not None and self._thread.is_alive():
            while True:
                try:
                    self._queue.put_nowait(_END)
                    break
                except queue.Full:
                    self._queue.get_nowait()
                    self._queue.task_done()
            self._thread.join(5)


def _ask(model: ModelHandle, question: _Question) -> Result | None:
    """Return another version's answer to the same question; None where it has none."""
    try:
        rows = question.rows
        if not _reads_alike(model.card, question.asked.card):
            rows = model.read(question.instances)
        return model.predict(rows)
    except (ModelFailed, RowsRefused):
        return None


def _reads_alike(one: Card, other: Card) -> bool:
    """Tell whether both make the same rows of what a client sends."""
    return (one.features, one.container, one.array_dtype) == (
        other.features,
        other.container,
        other.array_dtype,
    )
