"""From an issuer's name to its keys: its metadata, then its key set (OpenID Connect Discovery).

What the metadata says is checked, not followed: the issuer must call itself exactly what the
operator called it, and its keys must lie on a pinned host.
"""

from __future__ import annotations

from typing import Any

from secureml.kit.strict_json import loads

from .fetch import Fetcher
from .keys import MAX_KEYS
from .urls import UrlRefused

WELL_KNOWN = "/.well-known/openid-configuration"


class KeysRefused(Exception):
    """Metadata or key set break a rule; the text is that rule, one word."""


def metadata_url(issuer: str) -> str:
    """Return where an issuer's metadata lies (OpenID Connect Discovery, 4.1)."""
    return issuer.removesuffix("/") + WELL_KNOWN


def locate(issuer: str, fetch: Fetcher) -> str:
    """Return where the issuer's keys lie; raises FetchFailed or KeysRefused."""
    metadata = _document(fetch(metadata_url(issuer)))
    if metadata.get("issuer") != issuer:
        # Byte for byte: another issuer on the same host is another issuer.
        raise KeysRefused("issuer_differs")
    where = metadata.get("jwks_uri")
    try:
        fetch.check(where)
    except UrlRefused as refused:
        raise KeysRefused(f"jwks_uri_{refused}") from None
    return str(where)


def key_entries(data: bytes) -> list[Any]:
    """Return the entries of a JWK Set (RFC 7517, 5), each still to be judged."""
    entries = _document(data).get("keys")
    if not isinstance(entries, list):
        raise KeysRefused("no_key_set")
    if len(entries) > MAX_KEYS:
        raise KeysRefused("too_many_keys")
    return entries


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = loads(data)
    except ValueError:
        raise KeysRefused("not_json") from None
    if not isinstance(found, dict):
        raise KeysRefused("not_json")
    return found
