"""A token that a gateway signed: whether it holds, for whom, and for which request.

Tokens as of RFC 7519 under the rules of RFC 8725. Knows neither Flask nor the pipeline.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from secureml.kit.jwks import Keys
from secureml.kit.jwks_cache import JwksCache
from secureml.kit.jwt_claims import (
    InvalidToken,
    TokenRequirements,
    UnverifiedToken,
    check_registered_claims,
    check_registered_header,
    text_claim,
)

METHOD, PATH, BODY = "method", "path", "body"
BINDS = (METHOD, PATH, BODY)
METHOD_CLAIM, PATH_CLAIM, BODY_CLAIM = "htm", "path", "body_sha256"


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What a gateway's tokens must be; ``claim`` names the caller, ``binds`` is of BINDS."""

    rules: TokenRequirements
    jwks: JwksCache
    claim: str
    binds: frozenset[str]
    most_body: int  # bytes of a body that is read to compare its digest


class SignedIdentity(NamedTuple):
    """What a token says, verified with ``keys``; ``ends`` in epoch seconds."""

    identity: str
    claims: Mapping[str, Any]
    keys: Keys
    ends: float


class Sent(NamedTuple):
    """The request as it was sent: ``path`` decoded, with ``?`` and the query if there is one."""

    method: str
    path: str
    read_body: Callable[[int], bytes]


def verify(token: UnverifiedToken, policy: TokenPolicy, now: float) -> SignedIdentity:
    """Return what a token says at ``now`` (epoch seconds).

    Raises InvalidToken, and KeysUnavailable while nobody can tell.
    """
    check_registered_header(token.header, policy.rules)
    keys, key = policy.jwks.key_for(token, lambda: _check_claims(token, policy, now))
    if key is None:
        raise InvalidToken("key_unknown")
    if not key.verifies(token.text):
        raise InvalidToken("signature")
    _check_claims(token, policy, now)
    longest = float(token.claims["iat"]) + (policy.rules.max_age or 0.0)
    ends = min(float(token.claims["exp"]), longest)
    return SignedIdentity(text_claim(token.claims, policy.claim), token.claims, keys, ends)


def check_request(claims: Mapping[str, Any], policy: TokenPolicy, sent: Sent) -> None:
    """Raise InvalidToken unless a token is for this very request, as far as ``binds`` goes."""
    if METHOD in policy.binds and claims.get(METHOD_CLAIM) != sent.method:
        raise InvalidToken("bound_method")
    if PATH in policy.binds and claims.get(PATH_CLAIM) != sent.path:
        raise InvalidToken("bound_path")
    if BODY in policy.binds and not _is_digest(claims.get(BODY_CLAIM), sent, policy.most_body):
        raise InvalidToken("bound_body")


def body_digest(body: bytes) -> str:
    """Return SHA-256 of a body in base64url without padding: 43 characters."""
    return urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode("ascii")


def _is_digest(claim: Any, sent: Sent, most: int) -> bool:
    if not isinstance(claim, str) or not claim.isascii():
        return False
    return hmac.compare_digest(claim, body_digest(sent.read_body(most)))


def _check_claims(token: UnverifiedToken, policy: TokenPolicy, now: float) -> None:
    check_registered_claims(token.claims, policy.rules, now)
    if "cnf" in token.claims:
        # Bound to a key whose proof is not looked at here; taken without, it would be a bearer's.
        raise InvalidToken("binding")
