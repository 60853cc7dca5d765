"""Which gateway an identity comes from, and whose it is here.

A gateway proves itself by a token that it signs, by its certificate in the handshake with Nginx,
or by both. An identity that no gateway has proven is never read any further.
Knows neither Flask nor the pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from secureml.kit.access_token import parse
from secureml.kit.client_certificate import Leaf, is_issued_by
from secureml.kit.jwt_claims import UnverifiedToken

from .signed_identity import TokenPolicy

# No comma and no space: two headers of one name arrive as one, joined by them.
_IDENTITY = re.compile(r"[A-Za-z0-9._~@:+/=|-]{1,255}", re.ASCII)
ALL_MODELS = frozenset({"*"})


class Unproven(Exception):
    """No gateway has proven this identity; ``reason`` is one word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CertificatePolicy:
    """Which certificates are a gateway's.

    Each by its thumbprint (x5t#S256, RFC 8705, 3.1), or any that one of ``authorities`` (DER)
    signed for one of ``names`` (dNSName, small letters).
    """

    thumbprints: frozenset[str]
    names: frozenset[str]
    authorities: tuple[bytes, ...]

    def holds(self, leaf: Leaf | None) -> bool:
        """Tell whether a certificate that Nginx has verified is this gateway's."""
        if leaf is None or not leaf.for_clients:
            return False
        if leaf.thumbprint in self.thumbprints:
            return True
        if self.names.isdisjoint(leaf.names):
            return False
        return any(is_issued_by(leaf.der, authority) for authority in self.authorities)


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway: how it proves itself, and what its identities are worth here.

    ``clients`` gives our client for each of its identities; with ``known_clients`` an identity
    that is not there is the name of our client itself. ``scopes`` and ``models`` bound them all.
    """

    name: str
    tokens: TokenPolicy | None
    certificates: CertificatePolicy | None
    clients: Mapping[str, str]
    known_clients: bool
    scopes: frozenset[str]
    models: frozenset[str]

    def client_of(self, identity: str) -> str | None:
        """Return the name of our client, None for an identity that is nobody's here."""
        return self.clients.get(identity, identity if self.known_clients else None)

    def models_of(self, held: frozenset[str]) -> frozenset[str]:
        """Return the models that both the gateway and the client may use."""
        if "*" in self.models:
            return held
        return self.models if "*" in held else self.models & held


class Offer(NamedTuple):
    """An identity and the gateway that is to prove it by ``token``, or has proven it without.

    Without a token ``ends`` is when the certificate does, in epoch seconds.
    """

    gateway: Gateway
    token: UnverifiedToken | None
    identity: str
    ends: float | None


def find_gateway(value: str, leaf: Leaf | None, gateways: Sequence[Gateway]) -> Offer:
    """Return which gateway sent the header's value, by its token or its certificate.

    ``leaf`` is the certificate of the connection, None unless Nginx has verified it. Raises
    Unproven. The token's signature is still to be checked.
    """
    token = parse(value)
    if token is not None:
        return _by_token(token, leaf, gateways)
    if leaf is None:
        raise Unproven("no_proof")
    held = [each for each in gateways if each.certificates and each.certificates.holds(leaf)]
    by_name = [each for each in held if each.tokens is None]
    if not by_name:
        raise Unproven("token_missing" if held else "certificate_unknown")
    if not _IDENTITY.fullmatch(value):
        raise Unproven("identity_malformed")
    return Offer(by_name[0], None, value, leaf.ends)


def _by_token(token: UnverifiedToken, leaf: Leaf | None, gateways: Collection[Gateway]) -> Offer:
    for gateway in gateways:
        if gateway.tokens is None or gateway.tokens.rules.issuer != token.issuer:
            continue
        if gateway.certificates is not None and not gateway.certificates.holds(leaf):
            raise Unproven("certificate_missing")
        return Offer(gateway, token, "", None)
    raise Unproven("issuer_unknown")
