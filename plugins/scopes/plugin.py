"""Scopes: a caller does what its scopes and models say, and nothing else.

Runs in AUTHORIZE. The demand is the route's own policy, so a new route cannot be
forgotten here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secureml import Exchange, Host, Plugin, Problem

from .decision import Demand, refusal


class Scopes(Plugin):
    """Compares the route's policy with the principal's rights."""

    name = "scopes"

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._models = host.models

    def authorize(self, exchange: Exchange) -> None:
        """Raise Problem("forbidden") unless scope, model and version are all granted."""
        principal, policy = exchange.principal, exchange.policy
        if principal is None or policy is None or policy.scope is None:
            raise Problem("forbidden", reason="scopes.nothing_to_compare")
        name = exchange.model_name
        model = self._models.get(name) if name else None
        demand = Demand(policy.scope, name, model.version if model is not None else "")
        if reason := refusal(principal, demand):
            raise Problem("forbidden", reason=reason)
