"""API docs: an OpenAPI 3.1 description at /openapi.json, made from the app that serves it.

Runs in no phase. What is described is what the reader may do: a caller sees the routes its
scopes allow and the models it may use, a stranger sees no model at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marshmallow import Schema
from marshmallow import fields as plain

from secureml import Host, Plugin
from secureml.kit import fields

from .views import Reading, blueprint

if TYPE_CHECKING:
    from flask import Blueprint


class Config(Schema):
    """The ``[plugins.api_docs]`` table."""

    public = fields.StrictBoolean(
        load_default=False,
        metadata={
            "description": (
                "Whether the description is public, without the models; "
                "otherwise it requires the scope `models:read`."
            )
        },
    )
    public_scopes = plain.List(
        fields.Scope(),
        load_default=lambda: ["predict", "models:read", "token"],
        metadata={
            "description": (
                "Scopes whose routes a public description shows, in addition to public routes."
            )
        },
    )
    title = plain.String(
        load_default="Model server",
        metadata={"description": "The title of the description."},
    )


class ApiDocs(Plugin):
    """Describes the app to whoever may know."""

    name = "api_docs"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._reading = Reading(
            title=config["title"],
            public=config["public"],
            scopes=frozenset(config["public_scopes"]),
        )
        self._models = host.models

    def blueprint(self) -> Blueprint:
        """Return the one route."""
        return blueprint(self._reading, self._models)
