"""Whether an access token of ours holds now, and what it is worth: asked at every first sight.

A signature is not enough. Its family must be on record and stand, the OAuth client and its
local client must, and so must the person who agreed. What it is worth is what all of them
hold at this moment, and never more than the token says.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..claims import Token, Unfit
from .families import Families, Family
from .party import Parties, Party
from .people import People
from .tokens import Spoken, Tokens
from .users import User


@dataclass(frozen=True, slots=True)
class Believed:
    """A token that holds: whose it is and what it may do; times are epoch seconds."""

    family: Family
    party: Party
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
        self, tokens: Tokens, families: Families, parties: Parties, people: People
    ) -> None:
        self.issuer = tokens.issuer
        self._tokens, self._families = tokens, families
        self._parties, self._people = parties, people

    def believe(self, token: Token) -> Believed:
        """Return what a token is worth; raises Unfit or Ended."""
        said = self._tokens.read(token)
        family = self._families.standing(said.family, said.jti)
        party = self._parties.get(said.oauth_client)
        if party is None:
            raise Unfit("client_disabled")
        if family.oauth_client != said.oauth_client:
            raise Unfit("not_of_its_family")
        if party.record.dpop and said.jkt is None:
            raise Unfit("not_bound")
        user = self._host_factory(family, said)
        rights, models = self._limits(party, user)
        return Believed(
            family,
            party,
            said.subject,
            said.scopes & family.scopes & rights,
            models,
            said.jti,
            said.issued,
            min(said.ends, family.expires),
            said.jkt,
        )

    def _host_factory(self, family: Family, said: Spoken) -> User | None:
        if said.subject != (family.subject or family.oauth_client):
            raise Unfit("not_of_its_family")
        if not family.subject:
            return None
        user = self._people.standing(family.subject)
        if user is None or not lent_by(user, family):
            raise Unfit("user_gone")
        return user

    def _limits(self, party: Party, user: User | None) -> tuple[frozenset[str], frozenset[str]]:
        rights, models = party.rights, frozenset(party.owner.models)
        if user is None:
            return rights, models
        lent = self._people.models(user)
        return rights & self._people.rights(user), _both(models, lent)


def lent_by(user: User, family: Family) -> bool:
    """Tell whether this very person lent it: who bears the name of one who left has not."""
    return user.created <= family.created


def _both(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    if "*" in one:
        return other
    return one if "*" in other else one & other
