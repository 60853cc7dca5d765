"""Flask-JWT-Extended, set up with our keys, our rules and our refusals.

The library signs and verifies. Our stricter rules are its own callbacks, so they hold wherever
it is called: the rules for header and claims in the decode key callback, before any signature
is computed; revocation in the user lookup, which a view cannot switch off.

Two of its checks are left to those callbacks. It compares times with the clock of the machine,
which is not the one that the application passes in and gives ``exp`` the leeway of ``nbf``: its
leeway is therefore without limit, and the key callback judges the times. And it knows no
difference between unknown and revoked tokens, which the log must show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    decode_token,
)
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import InvalidTokenError, PyJWTError

from secureml.kit.jwt_claims import InvalidToken, UnverifiedToken
from secureml.kit.protocols import SigningKey, SigningKeys
from secureml.kit.token_families import FamilyEnded

from .tokens import (
    ACCESS,
    ALGORITHMS,
    REFRESH,
    TYPES,
    TokenPolicy,
    check_claims,
    check_header,
    kind_of,
)

if TYPE_CHECKING:
    from flask import Flask

_WORDS = (
    "expired_token",
    "invalid_token",
    "needs_fresh_token",
    "revoked_token",
    "token_verification_failed",
    "unauthorized",
    "user_lookup_error",
)

_LIBRARY_ERRORS = (PyJWTError, JWTExtendedException, ValueError, TypeError)
# Seconds, some 3000 years: the times are judged by the key callback, by the application's clock.
_NO_TIME_LIMIT = 10**11


@dataclass(frozen=True, slots=True)
class _Identity:
    """What the library calls an identity: a subject and the one key that signs for it."""

    subject: str
    key: SigningKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signatures:
    """Signs and verifies tokens, inside an app that ``attach`` has prepared.

    ``load`` returns what the library calls the user of a token whose signature holds, and raises
    for one that was revoked; ``refuse`` turns a word for the log into the answer to the caller.
    """

    keys: SigningKeys
    policy: TokenPolicy
    load: Callable[[dict[str, Any], dict[str, Any]], Any]
    refuse: Callable[[str], Any]
    now: Callable[[], float]

    def attach(self, app: Flask) -> None:
        """Prepare an app: the library's settings, its loaders, and all seven error loaders."""
        app.config.update(self._settings())
        library = JWTManager(app)
        library.user_identity_loader(lambda identity: identity.subject)
        library.encode_key_loader(lambda identity: identity.key.private)
        library.additional_headers_loader(_header_of)
        library.decode_key_loader(self._key_of)
        library.user_lookup_loader(self.load)
        for word in _WORDS:
            getattr(library, f"{word}_loader")(self._refusing(word))
        # What our callbacks raise in a view behind the library's own decorator.
        app.register_error_handler(InvalidToken, self._refusing("invalid_token"))
        app.register_error_handler(FamilyEnded, self._refusing("revoked_token"))

    def sign(self, kind: str, subject: str, claims: dict[str, Any]) -> str:
        """Sign claims as a token of that kind."""
        create = create_access_token if kind == ACCESS else create_refresh_token
        key = self.keys.active()
        text: str = create(
            _Identity(subject, key),
            additional_claims=claims,
            additional_headers={"typ": TYPES[kind]},
        )
        return text

    def verify(self, token: UnverifiedToken) -> Any:
        """Return what ``load`` makes of a token that one of our keys has signed; raises.

        Its header, which we have read ourselves, is the one that the library reads: taken from
        there, the token would be read for a fourth time.
        """
        try:
            claims = decode_token(token.text)
        except _LIBRARY_ERRORS as error:
            raise InvalidToken(f"proof.{type(error).__name__}") from None
        return self.load({**token.header}, claims)

    def _key_of(self, header: dict[str, Any], claims: dict[str, Any]) -> Any:
        """Return the key that must have signed, once header and claims keep our rules.

        Nothing is proven yet, but most of what is wrong costs no cryptography this way.
        """
        kind = kind_of(header)
        check_header(header, kind, self.policy)
        check_claims(claims, kind, self.policy, self.now())
        key = self.keys.public(header["kid"])
        # A key is for one algorithm; what the token says cannot change which.
        if key is None or key.algorithm != header["alg"]:
            raise InvalidTokenError("no such key")
        return key.key

    def _refusing(self, word: str) -> Callable[..., Any]:
        return lambda *facts: self.refuse(word)

    def _settings(self) -> dict[str, Any]:
        policy = self.policy
        return {
            "JWT_TOKEN_LOCATION": ["headers"],
            "JWT_COOKIE_CSRF_PROTECT": False,  # no cookies, and so no claim for them
            "JWT_ALGORITHM": ALGORITHMS[0],  # each token's header names its key's own
            "JWT_DECODE_ALGORITHMS": list(ALGORITHMS),
            "JWT_ENCODE_ISSUER": policy.issuer,
            "JWT_DECODE_ISSUER": policy.issuer,
            "JWT_ENCODE_AUDIENCE": policy.audience,
            "JWT_DECODE_AUDIENCE": policy.audience,
            "JWT_DECODE_LEEWAY": _NO_TIME_LIMIT,
            "JWT_ACCESS_TOKEN_EXPIRES": timedelta(seconds=policy.lifetimes[ACCESS]),
            "JWT_REFRESH_TOKEN_EXPIRES": timedelta(seconds=policy.lifetimes[REFRESH]),
        }


def _header_of(identity: _Identity) -> dict[str, Any]:
    return {"alg": identity.key.algorithm, "kid": identity.key.kid}
