"""What clients may know of the authorization server before they ask (RFC 8414)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from secureml.kit.dpop import ALGORITHMS

from .clients import GRANTS
from .credentials import BASIC, NONE, POST

WELL_KNOWN = "/.well-known/oauth-authorization-server"
AUTHORIZE = "/oauth2/authorize"
TOKEN = "/oauth2/token"  # noqa: S105 - an address
INTROSPECT = "/oauth2/introspect"
REVOKE = "/oauth2/revoke"
DEVICE_AUTHORIZATION = "/oauth2/device_authorization"
DEVICE = "/oauth2/device"
KEYS = "/oauth2/jwks.json"
STYLE = "/oauth2/style.css"


def origin(issuer: str) -> str:
    """Return scheme and host of the issuer, where all endpoints are."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}"


def path(issuer: str) -> str:
    """Return the path of the metadata: before the issuer's own path (RFC 8414, 3.1)."""
    return WELL_KNOWN + urlsplit(issuer).path.rstrip("/")


def metadata(issuer: str) -> dict[str, Any]:
    """Return the document; ``issuer`` stands in it byte for byte."""
    base = origin(issuer)
    return {
        "issuer": issuer,
        "authorization_endpoint": base + AUTHORIZE,
        "token_endpoint": base + TOKEN,
        "jwks_uri": base + KEYS,
        "introspection_endpoint": base + INTROSPECT,
        "revocation_endpoint": base + REVOKE,
        "device_authorization_endpoint": base + DEVICE_AUTHORIZATION,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": sorted(GRANTS.values()),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [BASIC, POST, NONE],
        "introspection_endpoint_auth_methods_supported": [BASIC, POST],
        "revocation_endpoint_auth_methods_supported": [BASIC, POST, NONE],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
    }
