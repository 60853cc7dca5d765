"""Whose an IP address is: what is counted for one must not multiply by those that come for free.

A subscriber of IPv6 has a /64 at least (RFC 6177), and a network is what one provider often
gives to one customer. An IPv4 client of an IPv6 socket is the IPv4 client (RFC 4291, 2.5.5.2),
and a zone is free text behind an address (RFC 4007), so it counts for nothing.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address
_LONGEST = 45  # characters of an address, and of what is kept of a text that is none


def parse_address(text: str) -> Address | None:
    """Return the address that a text is; None for any other text, a network too."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)
def host_prefix(text: str) -> str:
    """Return an address as its subscriber has it: of IPv4 itself, of IPv6 its /64.

    Any other text is returned as it is, up to 45 characters.
    """
    address = parse_address(text)
    if address is None:
        return text[:_LONGEST]
    return str(address) if isinstance(address, IPv4Address) else _prefix(address, 64)


@lru_cache(maxsize=4096)
def network_prefix(text: str) -> str:
    """Return the network of an address or of a `host_prefix`: of IPv4 the /24, of IPv6 the /48.

    Any other text is returned as it is, up to 45 characters.
    """
    address = parse_address(text.removesuffix("/64"))
    if address is None:
        return text[:_LONGEST]
    return _prefix(address, 24 if isinstance(address, IPv4Address) else 48)


def is_loopback(host: str) -> bool:
    """Return whether a host of a URL is this machine by definition, without asking anybody."""
    address = parse_address(host.removeprefix("[").removesuffix("]"))
    return host == "localhost" if address is None else address.is_loopback


def _prefix(address: Address, length: int) -> str:
    host_bits = address.max_prefixlen - length
    return f"{type(address)(int(address) >> host_bits << host_bits)}/{length}"
