"""Which web pages may read answers: origins, exactly as browsers write them (RFC 6454, 6.1).

A browser lets a page of another origin read an answer only where the answer says so. Whoever is
no browser is not held by any of this, so nothing here takes the place of a credential.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from secureml.kit.networks import is_loopback

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
# What browsers take for an IPv4 address: a name whose last part is a number (WHATWG URL, 3.5).
_NUMBER_LAST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_DEFAULT_PORT = {"http": "80", "https": "443"}

# What a page may read beside the status and the body; the rest browsers keep from it.
EXPOSED = "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate"


def fault_of(origin: str) -> str:
    """Return what is wrong with an origin an operator wrote, or ""."""
    if origin in ("*", "null"):
        # Every page there is, and every page without an origin of its own: a sandboxed frame, a
        # file. Neither is somebody whom an operator could mean.
        return f"{origin!r} does not name a single origin"
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return "an origin is scheme, host and port in lower case, without a path"
    scheme, host, port = match["scheme"], match["host"], match["port"]
    if port == _DEFAULT_PORT[scheme]:
        return f"browsers omit the port {port} of {scheme}"
    if port and int(port) > 65535:
        return f"{port} is not a port"
    if scheme == "http" and not is_loopback(host):
        return "a page loaded over http can be changed on its way"
    return _unlike_browsers(host)


def _unlike_browsers(host: str) -> str:
    """Return how a browser would write a host otherwise, or that it is none; "" if neither.

    Origins are compared letter by letter: one in another spelling would never match, without a
    word.
    """
    try:
        if host.startswith("["):
            address = IPv6Address(host[1:-1])
            # Of an IPv4 address inside, Python's spelling is not that of browsers.
            written = host if address.ipv4_mapped else f"[{address.compressed}]"
        elif _NUMBER_LAST.fullmatch(host):
            written = str(IPv4Address(host))
        else:
            return "a host name must not have an empty part" if ".." in host else ""
    except ValueError:
        return f"{host} is not an address"
    return "" if written == host else f"browsers write the address {written}"
