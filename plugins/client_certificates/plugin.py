"""Client certificates: a caller proves who it is with a key, in the TLS handshake itself.

Nginx does the handshake, and so the proof; what it says of it is believed only from an Nginx
that has proven itself with the edge token. Runs in ADMIT, where anybody else's word of a
certificate is refused; in IDENTIFY, behind the plugins that read a header; and in AUTHORIZE,
where a certificate beside another credential must be the same client's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from marshmallow import Schema
from marshmallow import fields as plain

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
from secureml.kit.client_certificate import CertificateFault, Leaf, from_header
from secureml.kit.instance_file import InstanceFile
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.kit.scopes import intersect
from secureml.kit.token_cache import TokenCache

from .binding import Binding
from .bindings import Bindings

if TYPE_CHECKING:
    import click

CERTIFICATE, VERIFY = "HTTP_X_SECUREML_CLIENT_CERT", "HTTP_X_SECUREML_CLIENT_VERIFY"
AUTHORITIES, REVOCATIONS = "tls/clients.crt", "tls/clients.crl"
CACHE_SIZE = 1024  # of certificates read, and of certificates named: a few megabytes at most
_NOBODY: tuple[float, None] = (0.0, None)
_REASONS = {"early": "not_yet_valid", "expired": "expired"}

# A text is always the same certificate, so what was read once stays true; who it speaks for,
# and whether it still holds, is asked at each request.
_read = lru_cache(CACHE_SIZE)(from_header)


class Config(Schema):
    """The ``[plugins.client_certificates]`` table."""

    require = plain.List(
        fields.ClientName(),
        load_default=list,
        metadata={
            "description": "Clients whose keys and tokens are good only over a connection with "
            "their certificate."
        },
    )
    unverified = fields.StrictBoolean(
        load_default=False,
        metadata={
            "description": "Whether a certificate of no authority that Nginx knows is good where "
            "exactly it is bound; needs `ssl_verify_client optional_no_ca` in Nginx."
        },
    )


class ClientCertificates(Plugin):
    """Names the caller whose certificate is bound to a client."""

    name = "client_certificates"
    schema = Config
    identifies_by_connection = True
    aliases = ("certificates",)
    instance_files = (
        InstanceFile(
            AUTHORITIES, "the authorities of client certificates, for `secureml serve`", 0o640
        ),
        InstanceFile(REVOCATIONS, "certificates that these authorities revoked", 0o640),
    )
    proxy_requirements = ProxyRequirements(
        client_authorities=AUTHORITIES, client_revocations=REVOCATIONS
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._required, self._unverified = frozenset(config["require"]), config["unverified"]
        self._bindings = Bindings(host.store, host.now)
        self._clients, self._store, self._now = host.clients, host.store, host.now
        self._tell = host.emit
        # By thumbprint, and whether Nginx has verified the chain.
        self._verified_leaves: TokenCache[Principal] = TokenCache(host.store.versions)

    def admit(self, exchange: Exchange) -> None:
        """Refuse whoever speaks of a certificate without being the proven edge."""
        environ = exchange.request.environ
        if exchange.proxy_verified or not (environ.get(CERTIFICATE) or environ.get(VERIFY)):
            return
        # Not passed over in silence: no honest client knows these names.
        exchange.add_event("malicious_certificate_header")
        raise Problem("forbidden", reason="client_certificates.unproven_hop")

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return whom the connection's certificate speaks for; None where there is none."""
        offered = exchange.request.environ.get(CERTIFICATE)
        return self._name(offered, exchange) if offered else None

    def authorize(self, exchange: Exchange) -> None:
        """Hold another credential to the certificate beside it, where there is or must be one."""
        principal = exchange.principal
        if principal is None or principal.method == self.name or principal.explained:
            return
        offered = exchange.request.environ.get(CERTIFICATE)
        if not offered:
            if principal.client in self._required:
                raise Problem("unauthorized", reason="client_certificates.required")
            return
        if self._name(offered, exchange).client != principal.client:
            # As with two headers of two clients: which of them asks, nobody can know.
            raise Problem("malformed_request", reason="two_credentials")

    def _name(self, offered: str, exchange: Exchange) -> Principal:
        if not exchange.proxy_verified:
            raise Problem("unauthorized", reason="client_certificates.unproven_hop")
        verified = self._verified(exchange.request.environ.get(VERIFY, ""))
        try:
            leaf = _read(offered)
        except CertificateFault as fault:
            raise Problem("unauthorized", reason=f"client_certificates.{fault.reason}") from None
        state = leaf.state(self._now())
        if state != "active":
            # Nginx asks in the handshake; a connection, and a session resumed, outlive that.
            raise Problem("unauthorized", reason=f"client_certificates.{_REASONS[state]}")
        try:
            return self._find(leaf, verified)
        except StoreUnavailable as error:
            # What was true a moment ago is no permission now.
            raise Problem("unavailable", reason="client_certificates.store") from error

    def _verified(self, word: str) -> bool:
        if word == "SUCCESS":
            return True
        if self._unverified and word.startswith("FAILED:"):
            return False
        raise Problem("unauthorized", reason="client_certificates.unverified")

    def _find(self, leaf: Leaf, verified: bool) -> Principal:
        known, key = self._verified_leaves.current(), (leaf.thumbprint, verified)
        principal = known.find(key, self._now())
        if principal is None:
            binding, word = self._bindings.find(leaf, verified=verified)
            if binding is None:
                raise Problem("unauthorized", reason=f"client_certificates.{word}")
            ends = leaf.ends if binding.expires is None else min(leaf.ends, binding.expires)
            principal = self._principal(binding, ends)
            known.keep(key, ends, principal)
        return principal

    def _principal(self, binding: Binding, ends: float) -> Principal:
        client = self._clients.get(binding.client)
        if client is None or not client.enabled:
            raise Problem("unauthorized", reason="client_certificates.client_disabled")
        # A certificate never holds more than its client does now.
        held = binding.scopes
        return Principal(
            client=client.name,
            subject=client.name,
            scopes=client.scopes if held is None else intersect(client.scopes, held),
            models=client.models,
            tier=client.tier,
            method=self.name,
            credential=binding.id,
            # A name outlives each certificate that holds it; what is traded for one does not.
            expires=ends,
        )

    def credentials(self, client: str) -> list[Credential]:
        """Return the bindings of a client."""
        now = self._now()
        return [
            Credential(each.id, self.name, each.scopes, each.state(now))
            for each in self._bindings.list(client)
        ]

    def measures(self) -> list[Measure]:
        """Return how many bindings are good now, and when the first bound certificate ends."""
        number, expires = self._bindings.statistics()
        found = [
            Measure("client_certificates_active", number, "Bindings of certificates, good now.")
        ]
        if expires is not None:
            words = "When the next certificate that is bound itself ends."
            found.append(
                Measure("client_certificate_next_expiry_timestamp_seconds", expires, words)
            )
        return found

    def commands(self) -> click.Group:
        """Return `secureml client-certificates ...`, which is `secureml certificates` as well."""
        from .cli import CommandContext, group

        return group(CommandContext(self._bindings, self._clients, self._now, self._tell))
