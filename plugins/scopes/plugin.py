"""Scopes: a caller does what its scopes and models say, and nothing else.

Stands in AUTHORIZE. The demand is the route's own policy, so a new route cannot be
forgotten here.
"""

from __future__ import annotations

from secureml import Exchange, Plugin, Problem


class Scopes(Plugin):
    """Compares the route's policy with the principal's rights."""

    name = "scopes"

    def authorize(self, exchange: Exchange) -> None:
        """Raise Problem("forbidden") unless scope and model are both granted."""
        principal, policy = exchange.principal, exchange.policy
        if principal is None or policy is None or policy.scope is None:
            raise Problem("forbidden", reason="scopes.nothing_to_compare")
        if policy.scope not in principal.scopes:
            raise Problem("forbidden", reason=f"scopes.missing:{policy.scope}")
        # A model that does not exist and one that is not granted answer alike,
        # so names cannot be found out by asking.
        if exchange.model_name and not principal.may_use(exchange.model_name):
            raise Problem("forbidden", reason="scopes.model_not_granted")
