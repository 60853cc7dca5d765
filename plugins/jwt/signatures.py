"""Flask-JWT-Extended, told what to sign with, whom to believe, and how to refuse.

The library signs and verifies; nothing of its own reaches a caller. Its error handlers are
given our refusal, and its defaults that accept too much are closed by ``tokens``, whose
rules also stand behind ``@jwt_required()`` should a view of someone else's use it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol

from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    decode_token,
)
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import InvalidTokenError, PyJWTError

from .tokens import ACCESS, ALGORITHMS, REFRESH, TYPES, Rules, Unfit

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


class _Signing(Protocol):
    @property
    def kid(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def private(self) -> Any: ...


class _Keys(Protocol):
    def active(self) -> _Signing: ...
    def public(self, kid: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Minting:
    """What the library calls an identity: a subject and the one key that signs for it."""

    subject: str
    key: _Signing = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signatures:
    """Signs and proves tokens, inside an app that ``attach`` has prepared.

    ``stands`` tells whether a proven token still counts; ``refuse`` turns a word for the log
    into the answer to the caller.
    """

    keys: _Keys
    rules: Rules
    stands: Callable[[dict[str, Any], dict[str, Any]], bool]
    refuse: Callable[[str], Any]

    def attach(self, app: Flask) -> None:
        """Prepare an app: the library's settings, its loaders, and all seven error loaders."""
        app.config.update(self._settings())
        library = JWTManager(app)
        library.user_identity_loader(lambda minting: minting.subject)
        library.encode_key_loader(lambda minting: minting.key.private)
        library.additional_headers_loader(_header_of)
        library.decode_key_loader(self._key_of)
        library.token_verification_loader(self.stands)
        library.token_in_blocklist_loader(lambda header, claims: not self.stands(header, claims))
        for word in _WORDS:
            getattr(library, f"{word}_loader")(self._refusing(word))

    def mint(self, kind: str, subject: str, claims: dict[str, Any]) -> str:
        """Sign claims as a token of that kind."""
        create = create_access_token if kind == ACCESS else create_refresh_token
        key = self.keys.active()
        text: str = create(
            _Minting(subject, key),
            additional_claims=claims,
            additional_headers={"typ": TYPES[kind]},
        )
        return text

    def prove(self, text: str) -> None:
        """Raise Unfit unless a key of ours has signed it. Expiry is for the rules to judge."""
        try:
            decode_token(text, allow_expired=True)
        except (PyJWTError, JWTExtendedException, ValueError, TypeError) as error:
            raise Unfit(f"proof.{type(error).__name__}") from None

    def _key_of(self, header: dict[str, Any], claims: dict[str, Any]) -> Any:
        key = self.keys.public(header.get("kid", ""))
        # A key is for one algorithm; what the token says cannot change which.
        if key is None or key.algorithm != header.get("alg"):
            raise InvalidTokenError("no such key")
        return key.key

    def _refusing(self, word: str) -> Callable[..., Any]:
        return lambda *facts: self.refuse(word)

    def _settings(self) -> dict[str, Any]:
        rules = self.rules
        return {
            "JWT_TOKEN_LOCATION": ["headers"],
            "JWT_COOKIE_CSRF_PROTECT": False,  # no cookies, and so no claim for them
            "JWT_ALGORITHM": ALGORITHMS[0],  # each token's header names its key's own
            "JWT_DECODE_ALGORITHMS": list(ALGORITHMS),
            "JWT_ENCODE_ISSUER": rules.issuer,
            "JWT_DECODE_ISSUER": rules.issuer,
            "JWT_ENCODE_AUDIENCE": rules.audience,
            "JWT_DECODE_AUDIENCE": rules.audience,
            "JWT_DECODE_LEEWAY": ceil(rules.leeway),  # our own rules judge to the fraction
            "JWT_ACCESS_TOKEN_EXPIRES": timedelta(seconds=rules.lifetimes[ACCESS]),
            "JWT_REFRESH_TOKEN_EXPIRES": timedelta(seconds=rules.lifetimes[REFRESH]),
        }


def _header_of(minting: _Minting) -> dict[str, Any]:
    return {"alg": minting.key.algorithm, "kid": minting.key.kid}
