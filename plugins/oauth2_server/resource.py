"""Whether an access token of ours holds now, and what it is worth: asked at every first sight.

A signature is not enough. Its family must be on record and stand, the OAuth client and its
local client must, and so must the person who agreed. What it is worth is what all of them
hold at this moment, and never more than the token says.
"""

from __future__ import annotations

from dataclasses import dataclass

from secureml.kit.jwt_claims import InvalidToken, UnverifiedToken

from .client import ActiveClient, ActiveClients
from .families import Families, Family
from .resource_owners import ResourceOwners
from .tokens import TokenClaims, Tokens
from .users import User


@dataclass(frozen=True, slots=True)
class ValidToken:
    """A token that holds: whose it is and what it may do; times are epoch seconds."""

    family: Family
    client: ActiveClient
    subject: str
    scopes: frozenset[str]
    models: frozenset[str]
    jti: str
    issued: float
    ends: float
    jkt: str | None


class Resource:
    """Believes access tokens of our own."""

    def __init__(
        self,
        tokens: Tokens,
        families: Families,
        active_clients: ActiveClients,
        resource_owners: ResourceOwners,
    ) -> None:
        self.issuer = tokens.issuer
        self._tokens, self._families = tokens, families
        self._active_clients, self._resource_owners = active_clients, resource_owners

    def validate(self, token: UnverifiedToken) -> ValidToken:
        """Return what a token is worth; raises Unfit or Ended."""
        claims = self._tokens.read(token)
        family = self._families.require_active(claims.family, claims.jti)
        client = self._active_clients.get(claims.oauth_client)
        if client is None:
            raise InvalidToken("client_disabled")
        if family.oauth_client != claims.oauth_client:
            raise InvalidToken("not_of_its_family")
        if client.record.dpop and claims.jkt is None:
            raise InvalidToken("not_bound")
        user = self._resource_owner(family, claims)
        rights, models = self._limits(client, user)
        return ValidToken(
            family,
            client,
            claims.subject,
            claims.scopes & family.scopes & rights,
            models,
            claims.jti,
            claims.issued,
            min(claims.ends, family.expires),
            claims.jkt,
        )

    def _resource_owner(self, family: Family, claims: TokenClaims) -> User | None:
        if claims.subject != (family.subject or family.oauth_client):
            raise InvalidToken("not_of_its_family")
        if not family.subject:
            return None
        user = self._resource_owners.active(family.subject)
        if user is None or not delegated_by(user, family):
            raise InvalidToken("user_gone")
        return user

    def _limits(
        self, client: ActiveClient, user: User | None
    ) -> tuple[frozenset[str], frozenset[str]]:
        rights, models = client.rights, frozenset(client.owner.models)
        if user is None:
            return rights, models
        granted = self._resource_owners.models(user)
        return rights & self._resource_owners.rights(user), _both(models, granted)


def delegated_by(user: User, family: Family) -> bool:
    """Tell whether this very person granted it: who bears the name of one who left has not."""
    return user.created <= family.created


def _both(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    if "*" in one:
        return other
    return one if "*" in other else one & other
