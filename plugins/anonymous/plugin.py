"""Anonymous: names every caller "anonymous", so that running open takes a word.

Runs in IDENTIFY; put it last, after the plugins that know real callers.
The production profile refuses it unless the risk is accepted by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema
from marshmallow import fields as plain

from secureml import Exchange, Host, Plugin, Principal
from secureml.kit import fields


class Config(Schema):
    """The ``[plugins.anonymous]`` table."""

    scopes = plain.List(
        fields.Scope(),
        load_default=lambda: ["predict", "models:read"],
        metadata={"description": "What a caller without credentials may do."},
    )
    models = plain.List(
        fields.ModelName(),
        load_default=lambda: ["*"],
        metadata={"description": "The models such a caller may use; `*` means all."},
    )


class Anonymous(Plugin):
    """Names whoever no other plugin named."""

    name = "anonymous"
    risk = "gives access without credentials"
    schema = Config
    # It names everybody, so a revoked key would pass unread in front of those behind it.
    last_at = ("identify",)

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._principal = Principal(
            client="anonymous",
            subject="anonymous",
            scopes=frozenset(config["scopes"]),
            models=frozenset(config["models"]),
            tier="anonymous",
            method=self.name,
            credential="",
        )

    def identify(self, exchange: Exchange) -> Principal:
        """Return the same principal for everyone."""
        return self._principal
