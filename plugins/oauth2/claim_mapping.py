"""From an outside token's claims to our client, scopes and models, by the operator's own map.

Nothing is taken over by its name: an outside client called like one of ours, or an outside
scope spelt like one of ours, means nothing until the map says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secureml.kit.jwt_claims import InvalidToken, text_claim

ALL = frozenset({"*"})


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """How one issuer's claims are read.

    ``client`` names one client for all its tokens; without it, the value of ``client_claim``
    must stand in ``clients``. ``scopes`` gives ours for each of theirs.
    """

    client: str | None
    client_claim: str
    clients: Mapping[str, str]
    scope_claim: str
    scopes: Mapping[str, frozenset[str]]
    models: frozenset[str]

    def client_of(self, claims: Mapping[str, Any]) -> str:
        """Return our client's name, or raise Unfit."""
        if self.client is not None:
            return self.client
        ours = self.clients.get(text_claim(claims, self.client_claim))
        if ours is None:
            raise InvalidToken("client_unmapped")
        return ours

    def scopes_of(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Return our scopes for those of the token; one without a place in the map gives none."""
        found = claims.get(self.scope_claim, [])
        words = found.split() if isinstance(found, str) else found
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InvalidToken(f"claim_{self.scope_claim}")
        given = (self.scopes[word] for word in words if word in self.scopes)
        return frozenset().union(*given)

    def models_of(self, held: frozenset[str]) -> frozenset[str]:
        """Return the models of the map that the client holds as well."""
        if "*" in self.models:
            return held
        return self.models if "*" in held else self.models & held
