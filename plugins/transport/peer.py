"""Who really is at the other end, decided once from the socket and the headers beside it.

A forwarding header is a claim. It counts only when the socket's peer is on the operator's
list and, where an edge token is set, proves itself with it; an empty list trusts no one.
Nothing here rewrites the request, so no later reader can mistake a claim for a fact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

from secureml.kit.networks import parse_address

Network = IPv4Network | IPv6Network

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


class PeerRefused(Exception):
    """The connection may not speak; ``code`` is public, ``reason`` for the log."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Peer:
    """The client as the rest of the application knows it."""

    address: str
    scheme: str
    host: str
    foreign_id: str
    proxy_verified: bool = False  # the hop before us is believed, and has shown the edge token


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the operator believes.

    ``unix`` believes whoever may open our socket, ``networks`` whoever connects from them,
    ``direct`` lets clients that reach us over TLS of our own speak for themselves,
    ``is_edge`` tells in constant time whether bytes are the edge token, now or just rotated.
    """

    unix: bool
    networks: tuple[Network, ...]
    hosts: Collection[str]
    direct: bool = False
    is_edge: Callable[[bytes], bool] | None = None


def settle(environ: Mapping[str, str], trust: Trust, *, any_host: bool = False) -> Peer:
    """Return the peer of a WSGI request, or raise PeerRefused.

    With ``any_host`` a Host that is not ours is no reason to refuse; the peer's host is then "".
    """
    socket_peer = environ.get("REMOTE_ADDR", "")
    host = host_name(environ.get("HTTP_HOST", ""))
    if not host or host not in trust.hosts:
        if not any_host:
            raise PeerRefused("misdirected_request", "transport.host")
        host = ""
    if not _is_trusted(socket_peer, trust):
        return _direct(environ, socket_peer, host, trust)
    _check_edge(environ, trust)
    # The proxy overwrites this header, so anything but one plain address is not its doing.
    address = normal_address(environ.get("HTTP_X_FORWARDED_FOR", ""))
    if not address:
        raise PeerRefused("malformed_request", "transport.forwarded_for")
    if environ.get("HTTP_X_FORWARDED_PROTO") != "https":
        raise PeerRefused("insecure_transport", "transport.forwarded_proto")
    foreign_id = environ.get("HTTP_X_REQUEST_ID", "")
    foreign_id = foreign_id if _REQUEST_ID.fullmatch(foreign_id) else ""
    return Peer(address, "https", host, foreign_id, trust.is_edge is not None)


def _direct(environ: Mapping[str, str], socket_peer: str, host: str, trust: Trust) -> Peer:
    if environ.get("wsgi.url_scheme") != "https":
        raise PeerRefused("insecure_transport", "transport.not_https")
    if not trust.direct:
        # Whoever goes around the proxy goes around its limits as well.
        raise PeerRefused("forbidden", "transport.not_through_proxy")
    address = normal_address(socket_peer)
    if not address:
        # A socket without an address is a unix socket, and those are believed only by name.
        raise PeerRefused("forbidden", "transport.no_address")
    return Peer(address, "https", host, "")


def _check_edge(environ: Mapping[str, str], trust: Trust) -> None:
    if trust.is_edge is None:
        return
    # WSGI hands on each byte of a header as one character (PEP 3333): latin-1 gives it back.
    offered = environ.get("HTTP_X_SECUREML_EDGE", "").encode("latin-1", "replace")
    if not trust.is_edge(offered):
        raise PeerRefused("forbidden", "transport.edge_token")


def _is_trusted(socket_peer: str, trust: Trust) -> bool:
    # Over a unix socket Gunicorn has no address to give: the empty word is its own case.
    if not socket_peer:
        return trust.unix
    return _in_networks(socket_peer, trust.networks)


def host_name(text: str) -> str:
    """Return the one way to write the host of a Host header (RFC 9110, 7.2), or "".

    Without port, brackets and final dot, in small letters, an IPv6 address in short.
    """
    match = _HOST.fullmatch(text)
    if match is None:
        return ""
    if match[1].startswith("["):
        return normal_address(match[1][1:-1])
    return match[1].lower().removesuffix(".")


@lru_cache(maxsize=4096)
def normal_address(text: str) -> str:
    """Return the one way to write an IP address, or "" when it is none.

    An IPv4 client on an IPv6 socket is the IPv4 client: two names would be two limits.
    """
    if "%" in text:
        return ""  # a zone is free text behind an address (RFC 4007): as many names as one likes
    address = parse_address(text.strip())
    return "" if address is None else str(address)


@lru_cache(maxsize=4096)
def _in_networks(text: str, networks: tuple[Network, ...]) -> bool:
    address = normal_address(text)
    return bool(address) and any(ip_address(address) in network for network in networks)
