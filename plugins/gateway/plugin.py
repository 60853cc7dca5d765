"""Gateway: identities that a gateway in front has verified, taken only with its proof.

Runs in ADMIT, where an identity that no gateway can have sent is refused on every route, and in
IDENTIFY, where the proof is checked: a token that the gateway signed, its certificate in the
handshake with Nginx, or both. A bare header names nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from secureml import (
    Credential,
    Exchange,
    Host,
    Kind,
    Plugin,
    Principal,
    Problem,
    StoreUnavailable,
)
from secureml.kit.client_certificate import CertificateFault, Leaf, from_header
from secureml.kit.instance_file import InstanceFile
from secureml.kit.jwks import Keys
from secureml.kit.jwks_cache import JwksRefresher, KeysUnavailable
from secureml.kit.jwt_claims import InvalidToken
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.kit.scopes import intersect
from secureml.kit.token_cache import TokenCache, digest

from .gateway import Gateway, Offer, Unproven, find_gateway
from .gateways import gateways
from .settings import Config
from .signed_identity import Sent, TokenPolicy, check_request, verify

CERTIFICATE, VERIFY = "HTTP_X_SECUREML_CLIENT_CERT", "HTTP_X_SECUREML_CLIENT_VERIFY"
AUTHORITIES = "tls/gateways.crt"
TOPICS = ("clients",)
_JTI = re.compile(r"[A-Za-z0-9._~-]{1,64}", re.ASCII)
_Key = tuple[bytes, str]  # of the header's value its digest, of the certificate its thumbprint
# What an honest gateway's token never meets: one that another key signed, or that somebody took
# from one request to another.
_FORGED = frozenset({"signature", "key_unknown", "bound_method", "bound_path", "bound_body"})
# A text is always the same certificate; whether it holds now is asked at each request.
_read = lru_cache(256)(from_header)


class _Verified(NamedTuple):
    """An identity that was proven: for whom, and until when (epoch seconds).

    Of a token also what it says, its policy and the keys it was verified with.
    """

    principal: Principal
    ends: float
    claims: Mapping[str, Any]
    policy: TokenPolicy | None = None
    keys: Keys | None = None

    def is_current(self) -> bool:
        """Tell whether the gateway has not withdrawn the key since."""
        return self.policy is None or (self.keys is not None and self.policy.jwks.trusts(self.keys))


class _Unverified(NamedTuple):
    """What a gateway offers, and the key by which it is remembered once it is verified."""

    offer: Offer
    key: _Key


class GatewayPlugin(Plugin):
    """Names the caller that a proven gateway names."""

    name = "gateway"
    schema = Config
    challenge = 'Gateway realm="secureml"'
    problems = (Kind("gateway.unproven", 403, "The identity is not proven by a gateway"),)
    instance_files = (
        InstanceFile(AUTHORITIES, "the authorities of gateways' certificates, for Nginx", 0o640),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        header: str = config["header"]
        self.credential_header = header
        self._variable = f"HTTP_{header.upper().replace('-', '_')}"
        self._gateways = gateways(config["gateways"], host)
        policies = [each.tokens for each in self._gateways if each.tokens is not None]
        self.issuers = [policy.rules.issuer for policy in policies]
        if any(each.certificates for each in self._gateways):
            self.proxy_requirements = ProxyRequirements(client_authorities=AUTHORITIES)
        self._refreshers = [JwksRefresher(policy.jwks) for policy in policies]
        for refresher in self._refreshers:
            refresher.jwks.request_refresh = refresher.request_refresh
        self._clients, self._now = host.clients, host.now
        self._verified: TokenCache[_Verified] = TokenCache(host.store.versions, TOPICS)

    def admit(self, exchange: Exchange) -> None:
        """Refuse an identity that no gateway can have sent, also on a public route."""
        value = exchange.request.environ.get(self._variable)
        if not value:
            return  # an empty one names nobody: so does a gateway say that there is no caller
        leaf = self._leaf(exchange)
        key = (digest(value), leaf.thumbprint if leaf is not None else "")
        found: _Verified | _Unverified | None = self._known(key)
        if found is None:
            try:
                found = _Unverified(find_gateway(value, leaf, self._gateways), key)
            except Unproven as fault:
                raise _unproven(exchange, fault.reason) from None
        exchange.state[self.name] = found

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return whom the gateway names once its proof holds; None without its header."""
        found: _Verified | _Unverified | None = exchange.state.get(self.name)
        if found is None:
            return None
        try:
            if isinstance(found, _Unverified):
                found = self._verify(*found)
            if found.policy is not None and found.policy.binds:
                check_request(found.claims, found.policy, _sent(exchange))
        except InvalidToken as refused:
            if refused.reason in _FORGED:
                exchange.add_event("malicious_gateway_header")
            raise Problem("unauthorized", reason=f"gateway.{refused.reason}") from None
        except (KeysUnavailable, StoreUnavailable) as error:
            # Nobody can tell now, and what was true a moment ago is no permission.
            reason = f"gateway.{type(error).__name__}"
            headers = {"Retry-After": "30"}
            raise Problem("unavailable", reason=reason, headers=headers) from error
        return found.principal

    def _known(self, key: _Key) -> _Verified | None:
        """Return what was verified before; that costs a digest and a look at the store."""
        try:
            found = self._verified.current().find(key, self._now())
        except StoreUnavailable:
            return None  # IDENTIFY refuses then; a public route needs no store
        return found if found is not None and found.is_current() else None

    def _verify(self, offer: Offer, key: _Key) -> _Verified:
        known, gateway = self._verified.current(), offer.gateway
        if offer.token is None or gateway.tokens is None:
            ends = offer.ends if offer.ends is not None else inf
            principal = self._principal(gateway, offer.identity, gateway.name, offer.ends)
            found = _Verified(principal, ends, {})
        else:
            self._start()
            said = verify(offer.token, gateway.tokens, self._now())
            jti = said.claims.get("jti")
            plain = isinstance(jti, str) and _JTI.fullmatch(jti)
            credential = f"{gateway.name}:{jti if plain else f'sha256:{key[0].hex()[:16]}'}"
            principal = self._principal(gateway, said.identity, credential, said.ends)
            found = _Verified(principal, said.ends, said.claims, gateway.tokens, said.keys)
        known.keep(key, found.ends, found)
        return found

    def _principal(
        self, gateway: Gateway, identity: str, credential: str, ends: float | None
    ) -> Principal:
        client = self._clients.get(gateway.client_of(identity) or "")
        if client is None:
            raise Problem("unauthorized", reason="gateway.client_unknown")
        if not client.enabled:
            raise Problem("unauthorized", reason="gateway.client_disabled")
        return Principal(
            client=client.name,
            subject=identity,
            # A gateway never gives more than its client holds now.
            scopes=intersect(client.scopes, gateway.scopes),
            models=gateway.models_of(client.models),
            tier=client.tier,
            method=self.name,
            credential=credential,
            expires=ends,
        )

    def _leaf(self, exchange: Exchange) -> Leaf | None:
        """Return the certificate of the connection, None unless the proven Nginx verified it."""
        environ = exchange.request.environ
        offered = environ.get(CERTIFICATE)
        if not offered or not exchange.proxy_verified or environ.get(VERIFY) != "SUCCESS":
            return None
        try:
            leaf = _read(offered)
        except CertificateFault:
            return None
        return leaf if leaf.state(self._now()) == "active" else None

    def credentials(self, client: str) -> list[Credential]:
        """Return the gateways that can name a client."""
        return [
            Credential(each.name, self.name, each.scopes, "active")
            for each in self._gateways
            if each.known_clients or client in each.clients.values()
        ]

    def ready(self) -> str | None:
        """Return a word while a gateway's keys were never read; asking starts the reading."""
        self._start()
        reached = all(refresher.jwks.reached for refresher in self._refreshers)
        return None if reached else "gateway_keys_unreached"

    def close(self) -> None:
        """End the threads that read keys."""
        for refresher in self._refreshers:
            refresher.close()

    def _start(self) -> None:
        for refresher in self._refreshers:
            refresher.start()


def _sent(exchange: Exchange) -> Sent:
    request = exchange.request
    query = request.query_string.decode("latin-1")
    path = f"{request.path}?{query}" if query else request.path
    return Sent(request.method, path, exchange.read_body)


def _unproven(exchange: Exchange, reason: str) -> Problem:
    """Return the refusal of an identity that no gateway can have sent, and leave an event."""
    exchange.add_event("malicious_gateway_header")
    return Problem("gateway.unproven", reason=f"gateway.{reason}")
