"""Which version answers a request, what its answer says of it, and what a trial learns of it.

The version is chosen once, before anybody asks whether the caller may use it, and kept: rights,
rows and answer are of the same one, whatever is put into use meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from secureml.models.rows.refused import RowsRefused
from secureml.models.serving.registry import Registry
from secureml.models.serving.trials import Trials
from secureml.pipeline.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from secureml.models.serving.handle import ModelHandle
    from secureml.models.serving.result import Result
    from secureml.models.serving.served_model import ServedModel

_NO_FIELDS: Mapping[str, str] = {}


class ModelChoice:
    """The choice of versions for all routes that have a model in their path."""

    def __init__(self, models: Registry, trials: Trials | None = None) -> None:
        self._models, self._trials = models, trials

    def choose(self, exchange: Exchange) -> None:
        """Set the model of a request whose path names one; it stays None where there is none."""
        name = exchange.model_name
        if not name or exchange.model is not None:
            return
        found = self._models.choose(name, exchange.model_version, lambda: _client(exchange))
        if found is None or exchange.model_version or _may_use(exchange, found):
            exchange.model = found
        else:
            # A trial takes no right away: who may use the version in use alone goes on with it.
            exchange.model = self._models.get(name)

    def fields(self, exchange: Exchange) -> Mapping[str, str]:
        """Return the header fields that an answer carries of the version it is of."""
        if exchange.model is None:
            return _NO_FIELDS
        served = self._models.served(exchange.model.name)
        if served is None or not served.headers:
            return _NO_FIELDS
        return served.headers.get(exchange.model.version, _NO_FIELDS)

    def answered(self, exchange: Exchange, result: Result) -> None:
        """Let a trial learn of an answer of the model, before any rule has coarsened it."""
        if self._trials is None or exchange.model is None:
            return
        served = self._models.served(exchange.model.name)
        if served is not None and served.candidate is not None:
            instances: Any = (exchange.payload or {}).get("instances")
            question = (exchange.read_rows(), instances)
            self._trials.answered(served, exchange.model, question, result, exchange.model_ns)

    def finished(self, exchange: Exchange) -> None:
        """Let a trial learn how a request ended that asked for a prediction."""
        model, status = exchange.model, exchange.status
        if self._trials is None or model is None or exchange.payload is None:
            return
        served = self._models.served(model.name)
        # Whatever else refused it, such as a limit, says nothing of the version.
        if served is not None and served.candidate is not None and _tells(exchange, served):
            self._trials.count(served, model, failed=status != 200)


def _tells(exchange: Exchange, served: ServedModel) -> bool:
    """Tell whether the end of a request says something of the version, and not of the caller.

    Rows that neither version reads are the caller's fault: one client could end a trial by them.
    """
    if exchange.status != 422:
        return exchange.status == 200 or exchange.status >= 500
    reason = exchange.problem.reason if exchange.problem is not None else ""
    if reason != "payload.rows":
        return reason.startswith("model.")
    tried = served.candidate is not None and exchange.model is served.candidate.handle
    return tried and _reads(served.current, (exchange.payload or {}).get("instances"))


def _reads(model: ModelHandle, instances: Any) -> bool:
    try:
        model.read(instances)
    except RowsRefused:
        return False
    return True


def _client(exchange: Exchange) -> str:
    principal = exchange.principal
    return principal.client if principal is not None else exchange.client_address


def _may_use(exchange: Exchange, model: ModelHandle) -> bool:
    principal, policy = exchange.principal, exchange.policy
    if principal is None or policy is None or policy.scope is None:
        return True
    return principal.may_use(model.name, model.version) and principal.permits(
        policy.scope, model.name, model.version
    )
