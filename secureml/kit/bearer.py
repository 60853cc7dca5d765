"""Tokens in the Authorization header: how they arrive, and the challenge for a missing scope."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Protocol


class Answered(Protocol):
    """The part of an exchange that is read: the refusal, the caller and the policy."""

    @property
    def problem(self) -> Any:
        """The refusal, None where there is none."""

    @property
    def principal(self) -> Any:
        """The caller, None if unknown."""

    @property
    def policy(self) -> Any:
        """What the route demands, None where there is no route."""


def split_authorization(header: str, schemes: Container[str]) -> tuple[str, str] | None:
    """Return scheme (in small letters) and token of a header, None for any other scheme.

    RFC 9110, 11.4; ``schemes`` in small letters, such as ``bearer`` (RFC 6750) or ``dpop``.
    """
    scheme, _, token = header.partition(" ")
    scheme = scheme.lower()
    return (scheme, token.strip(" ")) if scheme in schemes else None


def missing_scope_challenge(exchange: Answered, method: str, challenge: str) -> str | None:
    """Return the WWW-Authenticate value that names the scope a token lacks (RFC 6750, 3.1).

    None unless the request was refused as forbidden, its caller was named by ``method``, and the
    caller lacks the scope of the route. ``challenge`` is the plugin's own, such as ``Bearer``.
    """
    problem, principal, policy = exchange.problem, exchange.principal, exchange.policy
    if problem is None or problem.code != "forbidden" or principal is None or policy is None:
        return None
    if principal.method != method or policy.scope in principal.scopes:
        return None
    return f'{challenge}, error="insufficient_scope", scope="{policy.scope}"'
