"""From an issuer's name to its keys: its metadata, then its key set (OpenID Connect Discovery).

What the metadata says is checked, not followed: the issuer must call itself exactly what the
operator called it, and its keys must lie on a pinned host.
"""

from __future__ import annotations

from secureml.kit.fetch import Fetcher
from secureml.kit.jwks_document import KeysRefused, json_object
from secureml.kit.urls import UrlRefused

WELL_KNOWN = "/.well-known/openid-configuration"


def metadata_url(issuer: str) -> str:
    """Return where an issuer's metadata lies (OpenID Connect Discovery, 4.1)."""
    return issuer.removesuffix("/") + WELL_KNOWN


def locate(issuer: str, fetch: Fetcher) -> str:
    """Return where the issuer's keys lie; raises FetchFailed or KeysRefused."""
    metadata = json_object(fetch(metadata_url(issuer)))
    if metadata.get("issuer") != issuer:
        # Byte for byte: another issuer on the same host is another issuer.
        raise KeysRefused("issuer_differs")
    where = metadata.get("jwks_uri")
    try:
        fetch.check(where)
    except UrlRefused as refused:
        raise KeysRefused(f"jwks_uri_{refused}") from None
    return str(where)
