"""Security headers: what a browser or cache may do with an answer.

Runs in RESPOND. A view that says otherwise (a page with its own policy) keeps its word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, validate
from werkzeug.datastructures import Headers

from secureml import Exchange, Host, Plugin
from secureml.kit import fields

from .table import HEADERS, hsts


class Config(Schema):
    """The ``[plugins.security_headers]`` table."""

    hsts_seconds = fields.StrictInteger(
        load_default=0,
        validate=validate.Range(0, 10**9),
        metadata={
            "description": (
                "The max-age of Strict-Transport-Security; 0 leaves the "
                "header to Nginx, which sends it already."
            )
        },
    )


class SecurityHeaders(Plugin):
    """Adds each header of the table that the answer does not carry yet."""

    name = "security_headers"
    concern = "security_headers"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        seconds = config["hsts_seconds"]
        table = (*HEADERS, *([hsts(seconds)] if seconds else []))
        self._headers = [(name.lower(), name, value) for name, value in table]

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Dress the answer."""
        present = {name.lower() for name, _ in headers}
        for lowered, name, value in self._headers:
            if lowered not in present:
                headers.add(name, value)
