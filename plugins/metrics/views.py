"""The route a scraper asks, behind a scope of its own."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from secureml import requires

SCOPE = "metrics"


def blueprint(text: Callable[[str], tuple[bytes, str]]) -> Blueprint:
    """Return `GET /metrics`."""
    views = Blueprint("metrics", __name__)

    @views.get("/metrics", endpoint="metrics")
    @requires(SCOPE)
    def scrape() -> Response:
        body, media_type = text(request.headers.get("Accept", ""))
        return Response(body, content_type=media_type)

    return views
