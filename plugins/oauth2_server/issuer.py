"""Issues tokens for a grant that was checked: one family on record, then what it is shown by.

Nothing is issued that cannot be taken back: the record comes before the token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidScopeError

from secureml.kit.token_families import FamilyEnded

from .client import ActiveClient
from .families import Families, Family
from .opaque_tokens import digest, new_id, new_refresh
from .request import OAuth2Request
from .tokens import NewToken, Tokens
from .users import User


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """What is to be issued; ``family`` is the id it begins under."""

    grant: str
    scopes: frozenset[str]
    family: str
    user: User | None
    refresh: bool


class TokenIssuer:
    """Opens families and writes their tokens."""

    def __init__(
        self,
        tokens: Tokens,
        families: Families,
        now: Callable[[], float],
        refresh_lifetime: float,
    ) -> None:
        self._tokens, self._families, self._now = tokens, families, now
        self._refresh_lifetime = refresh_lifetime

    def issue(self, request: OAuth2Request, spec: TokenSpec) -> dict[str, Any]:
        """Return the answer to a grant that is good; raises InvalidGrantError."""
        client: ActiveClient = request.client
        request.spend_proof(client.record.id)
        now = self._now()
        life = self._refresh_lifetime if spec.refresh else self._tokens.lifetime
        name = spec.family or new_id()
        mark = new_id() if spec.refresh else ""
        refresh = new_refresh(name, mark) if spec.refresh else None
        family = Family(
            id=name,
            oauth_client=client.record.id,
            client=client.record.client,
            subject=spec.user.name if spec.user is not None else "",
            grant=spec.grant,
            scopes=spec.scopes,
            jkt=request.thumbprint,
            # A clock may have been set back since the person came: what they grant is younger.
            created=now if spec.user is None else max(now, spec.user.created),
            expires=now + life,
            current=None if refresh is None else digest(refresh),
            revoked=None,
            mark=mark,
        )
        try:
            self._families.open(family)
        except FamilyEnded:
            raise InvalidGrantError() from None
        return self._answer(request, family, spec.scopes, refresh)

    def refresh(
        self, request: OAuth2Request, family: Family, spent: str, scopes: frozenset[str]
    ) -> dict[str, Any]:
        """Return the next pair for a refresh token, once; raises InvalidGrantError."""
        if not scopes:
            raise InvalidScopeError()
        request.spend_proof(family.oauth_client)
        text = new_refresh(family.id, family.mark)
        try:
            rotated = self._families.rotate(family.id, digest(spent), digest(text))
        except FamilyEnded as ended:
            if ended.reason == "replayed":
                request.add_event("authn_token_reuse", family.client, family=family.id)
            raise InvalidGrantError() from None
        return self._answer(request, replace(rotated, jkt=family.jkt), scopes, text)

    def _answer(
        self, request: OAuth2Request, family: Family, scopes: frozenset[str], refresh: str | None
    ) -> dict[str, Any]:
        expires = min(self._now() + self._tokens.lifetime, family.expires)
        subject = family.subject or family.oauth_client
        jti = new_id()
        access = self._tokens.write(
            NewToken(
                family.oauth_client, subject, scopes, family.id, jti, expires, request.thumbprint
            )
        )
        body: dict[str, Any] = {
            "access_token": access,
            "token_type": "DPoP" if request.thumbprint is not None else "Bearer",
            "expires_in": max(int(expires) - int(self._now()), 0),
            "scope": " ".join(sorted(scopes)),
        }
        if refresh is not None:
            body["refresh_token"] = refresh
        request.add_event(
            "authn_token_created",
            family.client,
            jti=jti,
            family=family.id,
            oauth_client=family.oauth_client,
            subject=subject,
            grant=family.grant,
            entitlements=body["scope"],
        )
        return body
