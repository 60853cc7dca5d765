"""Everything that has the models of a worker follow while it serves, put together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from secureml.model_choice import ModelChoice
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.serving.registry import Registry
from secureml.models.serving.trials import Stopped, Trials
from secureml.models.serving.updates import Updates
from secureml.state.deployments import Deployments
from secureml.state.serving_reports import ServingReports
from secureml.state.store import Store


class Records(Protocol):
    """Where it is recorded what became of a version without an operator."""

    def tell_refused(self, name: str, refused: ModelRefused) -> None: ...
    def tell_stopped(self, stopped: Stopped) -> None: ...


class Serving(NamedTuple):
    """What operators have said of versions, what workers report, and what acts on it."""

    deployments: Deployments
    reports: ServingReports
    trials: Trials
    updates: Updates
    choice: ModelChoice


def serve_live(
    models: Registry,
    store: Store,
    now: Callable[[], float],
    records: Callable[[], Records],
) -> Serving:
    """Return the parts over a registry; nothing looks before `Updates.start`.

    ``records`` is asked when there is something to record: not before the core is there.
    """
    deployments, reports = Deployments(store, now), ServingReports(store, now)
    trials = Trials(deployments, reports, random.random)
    updates = Updates(
        models,
        deployments,
        reports,
        trials,
        refused=lambda name, error: records().tell_refused(name, error),
        stopped=lambda stopped: records().tell_stopped(stopped),
        now=time.monotonic,
    )
    return Serving(deployments, reports, trials, updates, ModelChoice(models, trials))
