"""API keys: a caller proves who it is with a key it was handed once.

Runs in ADMIT, where a key in a URL is refused even on a public route, and in IDENTIFY. A
request without the header is someone else's to name. Unknown, expired, revoked and mistyped
keys get one answer: there is no oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from marshmallow import Schema

from secureml import (
    Credential,
    Exchange,
    Host,
    Measure,
    Plugin,
    Principal,
    Problem,
    StoreUnavailable,
)
from secureml.kit import fields
from secureml.kit.scopes import intersect
from secureml.kit.token_cache import TokenCache, digest

from .key import PREFIX, contains_key
from .keyring import KeyRecord, Keyring

if TYPE_CHECKING:
    import click


class Config(Schema):
    """The ``[plugins.api_keys]`` table."""

    header = fields.CredentialHeader(
        load_default="X-API-Key",
        metadata={
            "description": "The header that carries the key; none that means something already."
        },
    )


class ApiKeys(Plugin):
    """Names the caller whose key is on the keyring."""

    name = "api_keys"
    schema = Config
    issue_command = ("issue", "CLIENT", "--expires", "30d")

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        header: str = config["header"]
        self.credential_header = header
        self._variable = f"HTTP_{header.upper().replace('-', '_')}"
        self._keyring = Keyring(host.store, host.now)
        self._clients, self._store, self._now = host.clients, host.store, host.now
        self._tell = host.emit
        self._verified: TokenCache[Principal] = TokenCache(host.store.versions)
        self.challenge = f'ApiKey realm="secureml", header="{header}"'

    def admit(self, exchange: Exchange) -> None:
        """Refuse a key in the URL, even a good one: by now it stands in every log on the way."""
        environ = exchange.request.environ
        query: str = environ.get("QUERY_STRING", "")
        in_query = query and PREFIX in (unquote(query) if "%" in query else query)
        if in_query or contains_key(environ.get("PATH_INFO", "")):
            raise Problem("credential_in_url", reason="api_keys.in_url")

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return who holds the offered key; None when no key is offered."""
        offered = self._offered(exchange.request.environ)
        if offered is None:
            return None
        try:
            return self._name(offered)
        except StoreUnavailable as error:
            # What was true a moment ago is no permission now.
            raise Problem("unavailable", reason="api_keys.store") from error

    def _offered(self, environ: Mapping[str, Any]) -> str | None:
        """Return the key of the header, or of `Authorization: ApiKey` for tools that know no other.

        Prometheus is one of them.
        """
        plain: str | None = environ.get(self._variable)
        spoken: str = environ.get("HTTP_AUTHORIZATION", "")
        if spoken[:7].lower() != "apikey ":
            return plain
        if plain is not None and plain is not spoken:
            # As the pipeline does with two headers of two plugins: which caller is it?
            raise Problem("malformed_request", reason="two_credentials")
        return spoken[7:]

    def _name(self, offered: str) -> Principal:
        """Return who holds the key; a key named before costs a digest and a look at the store."""
        verified, key = self._verified.current(), digest(offered)
        principal = verified.find(key, self._now())
        if principal is None:
            record, state = self._keyring.find(offered)
            if record is None or state != "active":
                raise Problem("unauthorized", reason=f"api_keys.{state}")
            principal = self._principal(record)
            verified.keep(key, inf if record.expires is None else record.expires, principal)
        return principal

    def _principal(self, record: KeyRecord) -> Principal:
        client = self._clients.get(record.client)
        if client is None or not client.enabled:
            raise Problem("unauthorized", reason="api_keys.client_disabled")
        # A key never holds more than its client does now.
        scopes = client.scopes if record.scopes is None else intersect(client.scopes, record.scopes)
        return Principal(
            client=client.name,
            subject=client.name,
            scopes=scopes,
            models=client.models,
            tier=client.tier,
            method=self.name,
            credential=record.id,
            expires=record.expires,
        )

    def credentials(self, client: str) -> list[Credential]:
        """Return the keys of a client."""
        now = self._now()
        return [
            Credential(record.id, self.name, record.scopes, record.state(now))
            for record in self._keyring.list(client)
        ]

    def measures(self) -> list[Measure]:
        """Return how many keys there are, the age of the oldest, and when the next one ends."""
        number, created, expires = self._keyring.statistics()
        found = [Measure("api_keys_active", number, "API keys that are good now.")]
        if created is not None:
            age = self._now() - created
            found.append(Measure("api_key_oldest_age_seconds", age, "Age of the oldest of them."))
        if expires is not None:
            found.append(
                Measure(
                    "api_key_next_expiry_timestamp_seconds", expires, "When the next of them ends."
                )
            )
        return found

    def commands(self) -> click.Group:
        """Return `secureml api-keys ...`."""
        from .cli import CommandContext, group

        return group(CommandContext(self._keyring, self._clients, self._now, self._tell))
