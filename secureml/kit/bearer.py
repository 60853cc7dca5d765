"""Tokens in the Authorization header: how they arrive, and the challenge for a missing scope."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Protocol

CHALLENGE = 'Bearer realm="secureml"'  # what a plugin at IDENTIFY asks for


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


class AnswerHeaders(Protocol):
    """The headers of an answer, as a plugin at RESPOND is given them."""

    def __setitem__(self, name: str, value: str, /) -> None:
        """Set one."""


def presented_token(environ: Mapping[str, Any], schemes: Container[str]) -> tuple[str, str]:
    """Return scheme (in small letters) and token of a request; both are "" for any other scheme.

    RFC 9110, 11.4; ``schemes`` in small letters, such as ``bearer`` (RFC 6750) or ``dpop``.
    """
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    scheme = scheme.lower()
    return (scheme, token.strip(" ")) if scheme in schemes else ("", "")


def name_missing_scope(exchange: Answered, method: str, headers: AnswerHeaders) -> None:
    """Set the challenge that names the scope a token lacks (RFC 6750, 3.1).

    Only where the request was refused as forbidden, its caller was named by ``method``, and the
    caller lacks the scope of the route.
    """
    problem, principal, policy = exchange.problem, exchange.principal, exchange.policy
    if problem is None or problem.code != "forbidden" or principal is None or policy is None:
        return
    if principal.method == method and policy.scope not in principal.scopes:
        error = f'error="insufficient_scope", scope="{policy.scope}"'
        headers["WWW-Authenticate"] = f"{CHALLENGE}, {error}"
