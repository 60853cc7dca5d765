"""Whose an address is: one home has a whole /64 of IPv6, one network a /48 or an IPv4 /24.

What is counted for an address must not be multiplied by the addresses that come for free.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def host_prefix(address: str) -> str:
    """Return an address as its owner has it: an IPv6 one as its /64; at most 45 characters."""
    found = _read(address)
    if found is None:
        return address[:45]
    if isinstance(found, IPv4Address):
        return str(found)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"


def network_prefix(owner: str) -> str:
    """Return the network that `home` lies in, which one provider gives to one customer often."""
    found = _read(owner.removesuffix("/64"))
    if found is None:
        return owner
    kept = 8 if isinstance(found, IPv4Address) else 80
    return f"{type(found)(int(found) >> kept << kept)}/{found.max_prefixlen - kept}"


def _read(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
