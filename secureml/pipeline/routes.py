"""What the core tells the pipeline of the application's routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from secureml.pipeline.exchange import Exchange
from secureml.pipeline.policy import Policy

if TYPE_CHECKING:
    from secureml.models.serving.result import Result


class ModelRouting(Protocol):
    """What the core does for routes that have a model in their path."""

    def choose(self, exchange: Exchange) -> None: ...
    def fields(self, exchange: Exchange) -> Mapping[str, str]: ...
    def answered(self, exchange: Exchange, result: Result) -> None: ...
    def finished(self, exchange: Exchange) -> None: ...


class NoModels:
    """The routing of an application without models."""

    def choose(self, exchange: Exchange) -> None:
        """Choose nothing."""

    def fields(self, exchange: Exchange) -> Mapping[str, str]:
        """Return no header fields."""
        return {}

    def answered(self, exchange: Exchange, result: Result) -> None:
        """Learn nothing."""

    def finished(self, exchange: Exchange) -> None:
        """Learn nothing."""


@dataclass(frozen=True, slots=True)
class Routes:
    """What the core knows of the app's map: policies by endpoint, and how to ready a request.

    ``prepare`` runs first at VALIDATE and reads the body; ``models`` chooses which version answers.
    """

    policies: dict[str, Policy]
    prepare: Callable[[Exchange], None]
    models: ModelRouting = field(default_factory=NoModels)
