"""Scopes: a caller does what its scopes and models say, and nothing else.

Runs in AUTHORIZE. The demand is the route's own policy, so a new route cannot be
forgotten here.
"""

from __future__ import annotations

from secureml import Exchange, Plugin, Problem

from .decision import Demand, refusal


class Scopes(Plugin):
    """Compares the route's policy with the principal's rights."""

    name = "scopes"

    def authorize(self, exchange: Exchange) -> None:
        """Raise Problem("forbidden") unless scope, model and version are all granted."""
        principal, policy = exchange.principal, exchange.policy
        if principal is None or policy is None or policy.scope is None:
            raise Problem("forbidden", reason="scopes.nothing_to_compare")
        # Of the version that will answer, or of the one that is asked for and is not there.
        model = exchange.model
        version = model.version if model is not None else exchange.model_version
        demand = Demand(policy.scope, exchange.model_name, version)
        if reason := refusal(principal, demand):
            raise Problem("forbidden", reason=reason)
