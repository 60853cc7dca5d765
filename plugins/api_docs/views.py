"""The route of the description, and who sees what in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Blueprint, Response, current_app, g
from marshmallow import Schema, fields

from secureml import Outline, Principal, outline, public, requires

from .document import Described, document

PATH = "/openapi.json"
_PUBLIC_SECONDS = 60


class DocumentAnswer(Schema):
    """An OpenAPI document."""

    openapi = fields.String(required=True)
    info = fields.Dict(required=True)
    paths = fields.Dict(required=True)


class _Models(Protocol):
    def names(self) -> list[str]: ...
    def get(self, name: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What the operator said: the title, and what strangers may read."""

    title: str
    public: bool
    scopes: frozenset[str]


def blueprint(reading: Reading, models: _Models) -> Blueprint:
    """Return the route; public only where the operator says so."""
    views = Blueprint("api_docs", __name__)
    policy: Callable[..., Any] = (
        public(answer=DocumentAnswer)
        if reading.public
        else requires("models:read", answer=DocumentAnswer)
    )

    @views.get(PATH, endpoint="openapi")
    @policy
    def openapi() -> Response:
        """Describe this API."""
        principal: Principal | None = g.exchange.principal
        scopes = principal.scopes if principal else reading.scopes
        body = document(
            reading.title, _described(outline(current_app), scopes), _cards(principal, models)
        )
        # Not the same for everyone unless it is the same for strangers.
        cache = f"public, max-age={_PUBLIC_SECONDS}" if reading.public else "no-store"
        return Response(
            json.dumps(body, allow_nan=False),
            content_type="application/json",
            headers={"Cache-Control": cache},
        )

    return views


def _described(found: Outline, scopes: Collection[str]) -> Described:
    routes = [
        route for route in found.routes if route.policy.public or route.policy.scope in scopes
    ]
    return Described(routes, found.problems, found.carriers, found.open_to_all)


def _cards(principal: Principal | None, models: _Models) -> list[dict[str, Any]]:
    """Return what the cards of this caller's models say; a stranger learns of none."""
    if principal is None:
        return []
    return [models.get(name).card.public() for name in models.names() if principal.may_use(name)]
