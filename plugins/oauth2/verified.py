"""What a token that was verified says, and whether the keys it was verified with still count."""

from __future__ import annotations

from typing import Any, NamedTuple

from .issuer import Issuer
from .keys import Keys

# Whatever of ours changes one of these forgets every token.
TOPICS = ("clients", "oauth2", "signing_keys")


class Verified(NamedTuple):
    """A token that was verified: until when, for whom, bound to what key, and with whose keys.

    One of our own has no ``issuer``: what it was verified with is watched by the store.
    """

    ends: float
    principal: Any  # the core's Principal
    bound: str | None
    issuer: Issuer | None = None
    keys: Keys | None = None

    def still_counts(self) -> bool:
        """Tell whether an outside issuer has not withdrawn the key since."""
        if self.issuer is None or self.keys is None:
            return True
        return self.issuer.source.believes(self.keys)
