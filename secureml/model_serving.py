"""Everything that has the models of a worker follow while it serves, put together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from secureml.model_choice import ModelChoice
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.serving.registry import Registry
from secureml.models.serving.trials import Stopped, Trials
from secureml.models.serving.updates import Updates
from secureml.state.deployments import Deployments
from secureml.state.serving_reports import ServingReports
from secureml.state.store import Store


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
    *,
    refused: Callable[[str, ModelRefused], None],
    stopped: Callable[[Stopped], None],
) -> Serving:
    """Return the parts over a registry; nothing looks before `Updates.start`."""
    deployments, reports = Deployments(store, now), ServingReports(store, now)
    trials = Trials(deployments, reports, random.random)
    updates = Updates(
        models, deployments, reports, trials, refused=refused, stopped=stopped, now=time.monotonic
    )
    return Serving(deployments, reports, trials, updates, ModelChoice(models, trials))
