"""May they do this? One decision, asked in AUTHORIZE and by whoever wants it explained.

A right may be narrowed to a model or one version of it, and so may the models of a client;
both must allow what is asked. Knows neither Flask nor the pipeline.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Rights(Protocol):
    """What a principal offers for the decision."""

    def permits(self, scope: str, model: str = "", version: str = "") -> bool: ...
    def may_use(self, model: str, version: str = "") -> bool: ...


class Demand(NamedTuple):
    """What a request asks for: an operation, and the model and version it would be done on."""

    scope: str
    model: str = ""
    version: str = ""


def refusal(rights: Rights, demand: Demand) -> str:
    """Return why this may not be done, as a word for the log; "" where it may."""
    if not rights.permits(*demand):
        return f"scopes.missing:{demand.scope}"
    # A model that does not exist and one that is not granted answer alike, so names cannot
    # be found out by asking.
    if demand.model and not rights.may_use(demand.model, demand.version):
        return "scopes.model_not_granted"
    return ""
