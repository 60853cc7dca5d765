"""Open Inference Protocol: stock clients ask a model in tensors, by version 2 of the protocol.

Runs in no phase. Its routes pass all of them: what a body holds becomes the rows of a prediction
before any plugin looks, and an answer is made of what SHAPE has left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from secureml import Host, Plugin

if TYPE_CHECKING:
    from flask import Blueprint


class OpenInference(Plugin):
    """Serves the protocol's routes under /v2."""

    name = "open_inference"

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._unready = host.unready

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        from .views import blueprint

        return blueprint(self._unready)
