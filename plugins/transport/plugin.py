"""Transport: who is at the other end, decided once, before anyone acts on it.

Runs in ADMIT, first in the list: it believes forwarding headers only from the peers the
operator names, answers only over HTTPS and only for the hosts the operator names (health checks
for any). Runs in RESPOND, where pages of allowed origins are let read the answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import ConfigError, Exchange, Host, Plugin, Problem
from secureml.kit import fields
from secureml.kit.instance_file import InstanceFile
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.kit.secrets import LiveSecret, SecretUnavailable

from .origins import EXPOSED, fault_of
from .peer import PeerRefused, Trust, host_name, settle

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers


class Config(Schema):
    """The ``[plugins.transport]`` table."""

    trusted = plain.List(
        plain.String(),
        load_default=list,
        metadata={
            "description": (
                "Proxies whose forwarding headers are trusted: `unix` for the "
                "socket, or networks such as `10.0.0.0/8`. Empty for none."
            )
        },
    )
    hosts = plain.List(
        fields.HostName(),
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "description": "Host names of this server; any other gets 421.",
            "example": ["ml.example.org"],
        },
    )
    direct = fields.StrictBoolean(
        load_default=False,
        metadata={
            "description": ("Whether clients may connect to Gunicorn's own TLS without a proxy.")
        },
    )
    allow_origins = plain.List(
        plain.String(),
        load_default=list,
        metadata={
            "description": (
                "Origins whose web pages may read answers in a browser, such "
                "as `https://app.example.org`, each exactly as the browser "
                "writes it. Empty for none."
            )
        },
    )
    edge_token = fields.SecretRef(
        load_default=None,
        allow_none=True,
        metadata={"description": "The secret that the proxy must send in X-SecureML-Edge."},
    )


class Transport(Plugin):
    """Settles the peer of every request, or refuses it."""

    name = "transport"
    concern = "transport"
    schema = Config
    proxy_verification_keys = ("trusted", "edge_token")
    instance_files = (
        InstanceFile(
            "keys/edge-token",
            "the edge token, by which Nginx is recognised",
            make=lambda: secrets.token_urlsafe(32).encode(),
        ),
    )
    # Whoever is asked earlier sees no address, and takes all strangers for one.
    first_at = ("admit",)

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        if not config["trusted"] and not config["direct"]:
            raise ConfigError(
                "every request would be refused: `trusted` is empty and `direct` is off",
                key="trusted",
                fix='trusted = ["unix"] behind the bundled Nginx',
            )
        self._origins = frozenset(_origin(word) for word in config["allow_origins"])
        self.proxy_requirements = ProxyRequirements(
            hosts=tuple(config["hosts"]),
            token=config["edge_token"].reference if config["edge_token"] else "",
            allowed_origins=tuple(config["allow_origins"]),
        )
        networks = tuple(_network(word) for word in config["trusted"] if word != "unix")
        self._token = _token(config["edge_token"], host)
        # By the list alone nobody is proven: whoever may open the socket could say anything.
        self.verifies_proxy = self._token is not None and bool(config["trusted"])
        self.believed_peers = () if config["direct"] else tuple(config["trusted"])
        self._trust = Trust(
            unix="unix" in config["trusted"],
            networks=networks,
            hosts=frozenset(_host(name) for name in config["hosts"]),
            direct=config["direct"],
            is_edge=self._token.matches_any if self._token else None,
        )

    def admit(self, exchange: Exchange) -> None:
        """Settle who the client is; a stranger to the proxy or to TLS goes no further."""
        try:
            peer = settle(exchange.request.environ, self._trust, any_host=_any_host(exchange))
        except PeerRefused as refused:
            raise Problem(refused.code, reason=refused.reason) from None
        except SecretUnavailable:
            # Nobody can be told from the proxy now, so nobody is believed.
            raise Problem("unavailable", reason="transport.edge_token_unavailable") from None
        exchange.set_peer(
            address=peer.address,
            scheme=peer.scheme,
            host=peer.host,
            foreign_id=peer.foreign_id,
            proxy_verified=peer.proxy_verified,
            foreign_host=not peer.host,
        )
        origin = exchange.request.environ.get("HTTP_ORIGIN")
        if origin in self._origins:
            exchange.allow_origin(origin)

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Let a page of an allowed origin read the answer; of any other, say nothing."""
        if not self._origins:
            return
        headers.add("Vary", "Origin")  # also without one: a cache must not give it to another
        if exchange.allowed_origin:
            headers["Access-Control-Allow-Origin"] = exchange.allowed_origin
            headers["Access-Control-Expose-Headers"] = EXPOSED

    def ready(self) -> str | None:
        """Return why no request can pass, when the edge token is too old to be believed."""
        try:
            _ = self._token and self._token.current()
        except SecretUnavailable:
            return "edge_token_unavailable"
        return None

    def close(self) -> None:
        """Follow the edge token no longer."""
        if self._token:
            self._token.close()


def _any_host(exchange: Exchange) -> bool:
    return exchange.policy is not None and exchange.policy.any_host


def _origin(word: str) -> str:
    fault = fault_of(word)
    if fault:
        raise ConfigError(
            f"{word!r} is not an origin that can be allowed: {fault}",
            key="allow_origins",
            fix='write it as a browser does: "https://app.example.org", or '
            '"http://localhost:3000" for a page on this machine',
        )
    return word


def _host(word: str) -> str:
    # A client writes an IPv6 address in brackets (RFC 3986, 3.2.2), an operator need not.
    name = host_name(f"[{word}]" if ":" in word else word)
    if not name:
        raise ConfigError(
            f"{word!r} is neither a host name nor an address",
            key="hosts",
            fix="write a name such as ml.example.org, without scheme and port",
        )
    return name


def _token(source: Any, host: Host) -> LiveSecret | None:
    if source is None:
        return None
    try:
        token: LiveSecret = source.watch(host.instance, now=host.now)
    except ConfigError as error:
        raise ConfigError(error.message, key="edge_token", fix=error.fix, file=error.file) from None
    return token


def _network(word: str) -> Any:
    try:
        network = ip_network(word)
    except ValueError:
        raise ConfigError(
            f"{word!r} is neither `unix` nor a network",
            key="trusted",
            fix="write a network such as 10.0.0.0/8 or 192.0.2.7/32",
        ) from None
    if network.prefixlen == 0:
        # Whoever believes everybody's headers believes every attacker's.
        raise ConfigError(
            f"{word!r} would trust every address", key="trusted", fix="name the proxy's network"
        )
    return network
