"""API keys: a caller proves who it is with a key it was handed once.

Stands in IDENTIFY. A request without the header is someone else's to name. Unknown,
expired, revoked and mistyped keys get one answer: there is no oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marshmallow import Schema

from secureml import Exchange, Host, Plugin, Principal, Problem, fields

from .key import PREFIX
from .ring import KeyRecord, KeyRing

if TYPE_CHECKING:
    import click


class Config(Schema):
    """The ``[plugins.api_keys]`` table."""

    header = fields.HeaderName(
        load_default="X-API-Key", metadata={"description": "The header that carries the key."}
    )


class ApiKeys(Plugin):
    """Names the caller whose key is on the ring."""

    name = "api_keys"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        header: str = config["header"]
        self._variable = f"HTTP_{header.upper().replace('-', '_')}"
        self._ring = KeyRing(host.store, host.now)
        self._clients = host.clients
        self.challenge = f'ApiKey realm="secureml", header="{header}"'

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return who holds the offered key; None when no key is offered."""
        environ = exchange.request.environ
        if PREFIX in environ.get("QUERY_STRING", ""):
            # Refused even where it is valid: by now it stands in every log on the way.
            raise Problem("credential_in_url", reason="api_keys.in_url")
        offered: str | None = environ.get(self._variable)
        if offered is None:
            return None
        record, state = self._ring.find(offered)
        if record is None or state != "active":
            raise Problem("unauthorized", reason=f"api_keys.{state}")
        return self._principal(record)

    def _principal(self, record: KeyRecord) -> Principal:
        client = self._clients.get(record.client)
        if client is None or not client.enabled:
            raise Problem("unauthorized", reason="api_keys.client_disabled")
        # A key never holds more than its client does now.
        scopes = client.scopes if record.scopes is None else client.scopes & record.scopes
        return Principal(
            client=client.name,
            subject=client.name,
            scopes=scopes,
            models=client.models,
            tier=client.tier,
            method=self.name,
            credential=record.id,
        )

    def commands(self) -> click.Group:
        """Return `secureml api-keys ...`."""
        from .cli import group

        return group(self._ring, self._clients)
