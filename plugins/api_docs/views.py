"""The route of the description, and who sees what in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Blueprint, Response, current_app, g
from marshmallow import Schema, fields

from secureml import Principal, public, requires
from secureml.kit.description import AppDescription, describe_app

from .document import MUTUAL_TLS, Described, document

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
        found = _described(describe_app(current_app), principal, reading.scopes)
        body = document(reading.title, found, _cards(principal, models))
        # Not the same for everyone unless it is the same for strangers.
        cache = f"public, max-age={_PUBLIC_SECONDS}" if reading.public else "no-store"
        return Response(
            json.dumps(body, allow_nan=False),
            content_type="application/json",
            headers={"Cache-Control": cache},
        )

    return views


def _described(
    found: AppDescription, principal: Principal | None, scopes: Collection[str]
) -> Described:
    def permits(scope: str, model: str, version: str) -> bool:
        return principal.permits(scope, model, version) if principal else scope in scopes

    ways = (
        (*found.credential_headers, MUTUAL_TLS)
        if found.identifies_by_connection
        else found.credential_headers
    )
    return Described(found.routes, found.problems, ways, found.open_to_all, permits)


def _cards(principal: Principal | None, models: _Models) -> list[dict[str, Any]]:
    """Return what the cards of this caller's models say; a stranger learns of none."""
    if principal is None:
        return []
    cards = (models.get(name).card for name in models.names())
    return [card.public() for card in cards if principal.may_use(card.name, card.version)]
