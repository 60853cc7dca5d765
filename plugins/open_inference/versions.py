"""The one place that asks which model answers to a name and a version."""

from __future__ import annotations

from typing import Any, Protocol


class Models(Protocol):
    """The models that answer."""

    def get(self, name: str) -> Any:
        """Return the one of that name, None where there is none."""


def find(models: Models, name: str, version: str = "") -> Any:
    """Return the model that answers to a name, in this version where one is named; or None."""
    model = models.get(name)
    if model is None or version in ("", model.version):
        return model
    return None
