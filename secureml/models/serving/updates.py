"""Has a worker follow pointers, deployments and trials while it serves.

One thread looks a few times a second, at almost no cost while nothing has changed; whatever there
is to load and prove is loaded and proved there, and requests go on meanwhile. A look that fails
changes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.serving.registry import Change, Registry
from secureml.models.serving.trials import Stopped, Trials
from secureml.state.deployments import Deployment, Deployments
from secureml.state.serving_reports import ServerReport, ServingReports, place
from secureml.state.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from secureml.models.serving.model_folder import Stamp

log = logging.getLogger("secureml")

LOOK_SECONDS = 0.25
JUDGE_SECONDS = 1.0
REPORT_SECONDS = 5.0  # a third of the time after which a worker counts as gone


class Updates:
    """What changes the models of one worker while it serves.

    ``refused`` and ``stopped`` are told what could not be loaded and which trial was ended.
    ``now`` returns seconds that never go back.
    """

    def __init__(
        self,
        registry: Registry,
        deployments: Deployments,
        reports: ServingReports,
        trials: Trials,
        *,
        refused: Callable[[str, ModelRefused], None],
        stopped: Callable[[Stopped], None],
        now: Callable[[], float],
    ) -> None:
        self._registry, self._deployments = registry, deployments
        self._reports, self.trials, self._now = reports, trials, now
        self._tell_refused, self._tell_stopped = refused, stopped
        self._stamps: Mapping[str, Stamp] = {}
        self._counter = -1
        self._current: dict[str, Deployment] = {}
        self._reported: ServerReport | None = None
        self._report_due = self._judge_due = float("-inf")
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> list[Change]:
        """Do what there is to do now; return which versions answer since."""
        stamps, counter = self._registry.stamps(), self._deployments.counter()
        changes: list[Change] = []
        if counter != self._counter or stamps != self._stamps:
            if counter != self._counter:
                self._current = self._deployments.read()
            changes = self._refresh()
            # Kept last: what fails on the way is done again at the next look.
            self._stamps, self._counter = stamps, counter
        self._report()
        self._judge()
        return changes

    def _refresh(self) -> list[Change]:
        before = self._registry.refused()
        changes = self._registry.refresh(self._current)
        for change in changes:
            words = (change.name, change.version, change.before or "none")
            log.info("%s: version %s answers from now on, version %s did before", *words)
        for name, error in self._registry.refused().items():
            if str(before.get(name)) != str(error):
                still = self._registry.get(name)
                kept = f"; version {still.version} answers as before" if still else ""
                log.error("closed: %s%s", error, kept)
                self._tell_refused(name, error)
        return changes

    def _report(self) -> None:
        report = ServerReport(
            place(),
            {name: handle.version for name in self._registry.names()
             if (handle := self._registry.get(name))},
            {name: str(error) for name, error in self._registry.refused().items()},
        )  # fmt: skip
        if report == self._reported and self._now() < self._report_due:
            return
        self._reports.report(report)
        self._reported, self._report_due = report, self._now() + REPORT_SECONDS

    def _judge(self) -> None:
        if self._now() < self._judge_due:
            return
        self._judge_due = self._now() + JUDGE_SECONDS
        for stopped in self.trials.judge(self._current):
            log.error(
                "%s: the trial of version %s was stopped: %s",
                stopped.model,
                stopped.trial.version,
                stopped.why,
            )
            self._tell_stopped(stopped)

    def start(self) -> None:
        """Begin to look, in a thread of this process."""
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name="secureml-models", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            try:
                self.look()
            except (StoreUnavailable, OSError) as error:
                log.debug("models were not looked at: %s", error)  # told of where it is lost
            except Exception:
                log.exception("models could not be looked at; they answer as before")

    def stop(self) -> None:
        """End the thread, and take back what this worker said of itself."""
        if self._thread is None:
            return
        self._end.set()
        self._thread.join(5)
        self._thread = None
        self.trials.close()
        try:
            self._reports.leave(place())
        except StoreUnavailable:
            log.debug("the end of this worker could not be reported")
