"""Issues tokens in pairs, verifies them, refreshes them once, revokes them.

A token is checked in this order: its shape, header and claims, the signature of one of our
keys, and that neither it, its key nor its family was revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from secureml.kit.jwt_claims import InvalidToken, UnverifiedToken
from secureml.kit.protocols import SigningKeys

from . import tokens
from .families import Families, Family
from .signatures import Signatures
from .tokens import ACCESS, REFRESH, TokenPolicy

if TYPE_CHECKING:
    from flask import Flask

# Of a single token that was revoked no more is kept than its id, and that for so long: no
# access token may live longer (RFC 6750, 5.3).
LONGEST_ACCESS = 3600.0


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a token that holds says; ``ends`` is when it stops to, in epoch seconds."""

    client: str
    jti: str
    family: str
    scopes: frozenset[str]
    ends: float


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token and the refresh token beside it; their lives are in whole seconds."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int
    refresh_expires_in: int
    scopes: frozenset[str]


class TokenIssuer:
    """Issues and verifies the tokens of one issuer."""

    def __init__(
        self,
        policy: TokenPolicy,
        keys: SigningKeys,
        families: Families,
        *,
        now: Callable[[], float],
        new_id: Callable[[], str],
        refuse: Callable[[str], Any],
    ) -> None:
        self._policy, self._keys, self._families = policy, keys, families
        self._now, self._new_id = now, new_id
        self._signatures = Signatures(keys, policy, self._load, refuse, now)

    def attach(self, app: Flask) -> None:
        """Prepare the app that the tokens are verified in."""
        self._signatures.attach(app)

    def verify_ours(self, text: str) -> VerifiedToken | None:
        """Return what an access token says, None for one that names another issuer.

        That is its own unproven word, so it may only ever send it to another plugin.
        Raises as ``verify``.
        """
        token = tokens.parse(text)
        issuer = token.claims.get("iss")
        if isinstance(issuer, str) and issuer != self._policy.issuer:
            return None
        return self._verify(token, ACCESS)

    def verify(self, text: str, kind: str) -> VerifiedToken:
        """Return what a token says; raises InvalidToken or FamilyEnded, with a word for the log."""
        return self._verify(tokens.parse(text), kind)

    def _verify(self, token: UnverifiedToken, kind: str) -> VerifiedToken:
        # What the library would read less strictly: the text itself, and its kind.
        tokens.check_header(token.header, kind, self._policy)
        found: VerifiedToken = self._signatures.verify(token)
        return found

    def issue(
        self, client: str, *, scopes: Collection[str], origin: str, until: float | None = None
    ) -> TokenPair:
        """Begin a family for a client and return its first pair.

        Nothing of it outlives ``until``, when the credential ``origin`` ends (epoch seconds).
        """
        self._keys.active()  # asked first: without a key there is nothing to begin
        lifetime = self._policy.lifetimes[REFRESH]
        return self._pair(
            self._families.open(
                client, scopes=scopes, origin=origin, lifetime=lifetime, until=until
            )
        )

    def refresh(self, refresh: VerifiedToken) -> TokenPair:
        """Trade a refresh token for the next pair, once; a second time ends the family."""
        self._keys.active()  # asked first: a token must not be used up for nothing
        return self._pair(self._families.refresh(refresh.family, refresh.jti))

    def revoke(self, text: str) -> None:
        """Take a token back: an access token alone, a refresh token with its family."""
        kind = tokens.kind_of(tokens.parse(text).header)
        verified = self.verify(text, kind)
        if kind == REFRESH:
            self._families.end(verified.family)
        else:
            expires = self._now() + LONGEST_ACCESS
            self._families.end_token(verified.jti, expires=expires, family=verified.family)

    def _pair(self, family: Family) -> TokenPair:
        now = self._now()
        expires = min(now + self._policy.lifetimes[ACCESS], family.expires)
        access = tokens.compose(
            client=family.client,
            family=family.id,
            jti=self._new_id(),
            now=now,
            expires=expires,
            scopes=family.scopes,
        )
        refresh = tokens.compose(
            client=family.client,
            family=family.id,
            jti=family.current,
            now=now,
            expires=family.expires,
            scopes=None,
        )
        return TokenPair(
            self._signatures.sign(ACCESS, family.client, access),
            self._signatures.sign(REFRESH, family.client, refresh),
            access["exp"] - access["iat"],
            refresh["exp"] - refresh["iat"],
            family.scopes,
        )

    def _load(self, header: dict[str, Any], claims: dict[str, Any]) -> VerifiedToken:
        """Return what a token with a good signature says, unless anything of it was revoked."""
        kind = tokens.kind_of(header)
        # Again: the library has filled in what may be missing, and time has passed.
        tokens.check_claims(claims, kind, self._policy, self._now())
        key = self._keys.public(header["kid"])
        if key is None:  # retired in this very moment
            raise InvalidToken("key_retired")
        jti, sid = claims["jti"], claims["sid"]
        family = self._families.require_active(sid, jti=jti, kid=key.kid)
        if family.client != claims["sub"]:
            raise InvalidToken("not_of_its_family")
        scopes = frozenset(claims.get("scope", "").split())
        latest = claims["iat"] + self._policy.lifetimes[kind]
        ends = min(claims["exp"], latest, key.ends, family.expires)
        return VerifiedToken(family.client, jti, sid, scopes, ends)
