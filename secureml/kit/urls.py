"""Where a document may come from: addresses, pins, and the addresses behind names."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from secureml.kit.networks import Address

PORTS = {"https": 443, "http": 80}
_URL = re.compile(r"https?://[!-~]{1,2000}", re.ASCII)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:.]+", re.ASCII)


class UrlRefused(Exception):
    """An address is not one we may use; the text is the rule, one word."""


class ParsedUrl(NamedTuple):
    """Where a URL points."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def pin(self) -> tuple[str, int]:
        """What a pin is compared with."""
        return self.host, self.port


def parse_url(url: object) -> ParsedUrl:
    """Return where a URL points; raises UrlRefused for one with a user, a fragment or oddities."""
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise UrlRefused("url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UrlRefused("url") from None
    host = (parts.hostname or "").removesuffix(".")
    if "@" in parts.netloc or "#" in url or not _NAME.fullmatch(host) or port == 0:
        raise UrlRefused("url")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return ParsedUrl(parts.scheme, host, port or PORTS[parts.scheme], target)


def pin(word: str) -> tuple[str, int]:
    """Return the pin for ``host`` or ``host:port``; raises UrlRefused."""
    found = parse_url(f"https://{word}")
    if found.target != "/" or word.endswith("/"):
        raise UrlRefused("url")
    return found.pin


def check_address(address: Address, *, plain: bool) -> None:
    """Raise UrlRefused for an address where no provider stands; ``plain`` is loopback only."""
    address = getattr(address, "ipv4_mapped", None) or address
    # A provider of one's own stands on a private address, so those are no surprise; the
    # certificate proves the name. Nobody's provider is a cloud's metadata service.
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise UrlRefused("address")
    if plain and not address.is_loopback:
        raise UrlRefused("address")
