"""The mint: issues tokens in pairs, proves them, refreshes them once, takes them back.

Everything a token must be is asked here, in this order: its shape and header, the signature
of a key that is believed, every claim, and that neither it, its key nor its family was
revoked. Knows neither Flask nor the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from . import tokens
from .families import Ended, Families, Family
from .signatures import Signatures
from .tokens import ACCESS, REFRESH, Rules, Unfit

if TYPE_CHECKING:
    from flask import Flask

# Of a single token that was revoked no more is kept than its id, and that for so long: no
# access token may live longer (RFC 6750, 5.3).
LONGEST_ACCESS = 3600.0


class _Keys(Protocol):
    def active(self) -> Any: ...
    def public(self, kid: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Proven:
    """What a token that holds says; ``ends`` is when it stops to, in epoch seconds."""

    client: str
    jti: str
    family: str
    scopes: frozenset[str]
    ends: float


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token and the refresh token beside it; their lives are in whole seconds."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int
    refresh_expires_in: int
    scopes: frozenset[str]


class Mint:
    """Issues and judges the tokens of one issuer."""

    def __init__(
        self,
        rules: Rules,
        keys: _Keys,
        families: Families,
        *,
        now: Callable[[], float],
        new_id: Callable[[], str],
        refuse: Callable[[str], Any],
    ) -> None:
        self._rules, self._keys, self._families = rules, keys, families
        self._now, self._new_id = now, new_id
        self._signatures = Signatures(keys, rules, self._stands, refuse)

    def attach(self, app: Flask) -> None:
        """Prepare the app the mint works in."""
        self._signatures.attach(app)

    def is_foreign(self, text: str) -> bool:
        """Tell whether a text says that someone else issued it; raises Unfit when unreadable.

        That is its own unproven word, so it may only ever send it to someone else to judge.
        """
        issuer = tokens.read(text).claims.get("iss")
        return isinstance(issuer, str) and issuer != self._rules.issuer

    def prove(self, text: str, kind: str) -> Proven:
        """Return what a token says; raises Unfit or Ended, with a word for the log."""
        token = tokens.read(text)
        tokens.check_header(token.header, kind)
        # Cheap, and so before the signature: most of what is wrong costs no cryptography.
        tokens.check_claims(token.claims, kind, self._rules, self._now())
        self._signatures.prove(text)
        # Our own reading, now that it is proven: the library fills in a `type` that is missing.
        return self._judge(token.header, token.claims, kind)

    def issue(
        self, client: str, *, scopes: Collection[str], origin: str, until: float | None = None
    ) -> Pair:
        """Begin a family for a client and return its first pair.

        Nothing of it outlives ``until``, when the credential ``origin`` ends (epoch seconds).
        """
        self._keys.active()  # asked first: without a key there is nothing to begin
        lifetime = self._rules.lifetimes[REFRESH]
        return self._pair(
            self._families.open(
                client, scopes=scopes, origin=origin, lifetime=lifetime, until=until
            )
        )

    def refresh(self, refresh: Proven) -> Pair:
        """Trade a refresh token for the next pair, once; a second time ends the family."""
        self._keys.active()  # asked first: a token must not be used up for nothing
        return self._pair(self._families.turn(refresh.family, refresh.jti))

    def revoke(self, text: str) -> None:
        """Take a token back: an access token alone, a refresh token with its family."""
        kind = REFRESH if tokens.read(text).header.get("typ") == tokens.TYPES[REFRESH] else ACCESS
        proven = self.prove(text, kind)
        if kind == REFRESH:
            self._families.end(proven.family)
        else:
            self._families.end_token(proven.jti, keep=LONGEST_ACCESS, family=proven.family)

    def _pair(self, family: Family) -> Pair:
        now = self._now()
        expires = min(now + self._rules.lifetimes[ACCESS], family.expires)
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
        return Pair(
            self._signatures.mint(ACCESS, family.client, access),
            self._signatures.mint(REFRESH, family.client, refresh),
            access["exp"] - access["iat"],
            refresh["exp"] - refresh["iat"],
            family.scopes,
        )

    def _judge(self, header: dict[str, Any], claims: dict[str, Any], kind: str) -> Proven:
        tokens.check_claims(claims, kind, self._rules, self._now())
        key = self._keys.public(header["kid"])
        if key is None:  # retired in this very moment
            raise Unfit("key_retired")
        jti, sid = claims["jti"], claims["sid"]
        family = self._families.standing(sid, jti=jti, kid=key.kid)
        if family.client != claims["sub"]:
            raise Unfit("not_of_its_family")
        scopes = frozenset(claims.get("scope", "").split())
        longest = claims["iat"] + self._rules.lifetimes[kind]
        ends = min(claims["exp"], longest, key.ends, family.expires)
        return Proven(family.client, jti, sid, scopes, ends)

    def _stands(self, header: dict[str, Any], claims: dict[str, Any]) -> bool:
        kind = REFRESH if claims.get("type") == REFRESH else ACCESS
        try:
            tokens.check_header(header, kind)
            self._judge(header, claims, kind)
        except (Unfit, Ended):
            return False
        return True
