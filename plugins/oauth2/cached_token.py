"""What a verified token says, and whether the keys it was verified with are still trusted."""

from __future__ import annotations

from typing import Any, NamedTuple

from secureml.kit.jwks import Keys

from .issuer import Issuer


class CachedToken(NamedTuple):
    """A token that was verified: for whom, bound to what key (its thumbprint), with whose keys."""

    ends: float  # epoch seconds
    principal: Any  # the core's Principal
    jkt: str | None
    issuer: Issuer
    keys: Keys

    def is_current(self) -> bool:
        """Tell whether the issuer has not withdrawn the key since."""
        return self.issuer.jwks.trusts(self.keys)
