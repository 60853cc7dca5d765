"""Signed requests: a client is identified by the HMAC of its request.

Runs in IDENTIFY.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import Exchange, Host, Plugin, Principal, Problem
from secureml.kit import fields
from secureml.kit.secrets import LiveSecret, SecretUnavailable

LIMIT = 64 * 1024  # bytes of a body that are read from an unknown caller
WINDOW = 60.0  # seconds for which a signature is valid


class Config(Schema):
    """The ``[plugins.signed]`` table."""

    client = plain.String(
        required=True,
        validate=validate.Length(1, 64),
        metadata={"description": "The client that has the key."},
    )
    key = fields.SecretRef(
        required=True,
        metadata={"description": "The key, as a reference."},
    )


class Signed(Plugin):
    """Identifies the client: X-Signature is the time, a colon and the HMAC in hex."""

    name = "signed"
    schema = Config
    credential_header = "X-Signature"
    challenge = "Signature"

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._client: str = config["client"]
        self._key: LiveSecret = config["key"].watch(host.instance, now=host.now)
        self._clients, self._now = host.clients, host.now

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return the client; None without a signature, so that other plugins can identify."""
        offered = exchange.request.headers.get("X-Signature")
        if offered is None:
            return None
        sent, _, signature = offered.partition(":")
        # The cheap checks first: a body is read only after them.
        if not (sent.isascii() and sent.isdigit() and len(sent) < 12):
            raise Problem("unauthorized", reason="signed.form")
        if abs(self._now() - int(sent)) > WINDOW:
            raise Problem("unauthorized", reason="signed.time")
        client = self._clients.get(self._client)
        if client is None or not client.enabled:
            raise Problem("unauthorized", reason="signed.client")
        request = exchange.request
        head = f"{sent} {request.method} {request.path}\n".encode()
        wanted = self._sign(head + exchange.read_body(LIMIT))
        if not hmac.compare_digest(wanted, signature.encode("latin-1", "replace")):
            raise Problem("unauthorized", reason="signed.signature")
        return Principal(
            client=client.name,
            subject=client.name,
            scopes=client.scopes,
            models=client.models,
            tier=client.tier,
            method=self.name,
            credential="",
        )

    def _sign(self, text: bytes) -> bytes:
        try:
            key = self._key.current()
        except SecretUnavailable as error:
            # Without the key nothing can be verified.
            raise Problem("unavailable", reason="signed.key") from error
        return hmac.new(key.reveal(), text, "sha256").hexdigest().encode()
