"""What a route demands, said beside the view; a route that says nothing stops the start."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, request
from flask.globals import request_ctx
from marshmallow import Schema
from werkzeug.routing import Rule

from secureml.config_error import ConfigError

View = TypeVar("View", bound=Callable[..., Any])
_MARK = "secureml_policy"
EXTENSION = "secureml.corridor"  # under this word an app keeps its pipeline
Wording = Callable[..., tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Policy:
    """The demands of one route.

    ``scope`` is the right a caller needs; None means the route is public.
    ``body`` is the envelope a JSON body must fit; None means the body is not read.
    ``body_limit`` is in bytes; None means the site's own limit.
    ``cost`` is what one call weighs in a rate limit.
    ``form`` reads the body as a form instead of JSON, for protocols that say so.
    ``wording`` words this route's refusals, where a protocol has words of its own (RFC 6749,
    5.2): it takes the problem, its kind and the exchange and returns a body and its media type.
    ``any_host`` answers whatever the Host header says, for health checks by address.
    ``answer`` describes the JSON the view answers with, ``answered_at`` the statuses at which
    it does; nothing is checked against it, it is for whoever reads the description.
    """

    scope: str | None
    body: type[Schema] | None = None
    body_limit: int | None = None
    cost: int = 1
    form: bool = False
    wording: Wording | None = None
    answer: type[Schema] | None = None
    answered_at: tuple[int, ...] = (200,)
    any_host: bool = False

    @property
    def public(self) -> bool:
        """Tell whether strangers may call."""
        return self.scope is None


def requires(
    scope: str,
    *,
    body: type[Schema] | None = None,
    body_limit: int | None = None,
    cost: int = 1,
    answer: type[Schema] | None = None,
    answered_at: tuple[int, ...] = (200,),
) -> Callable[[View], View]:
    """Demand ``scope`` of whoever calls the view."""
    if not scope:
        raise ValueError("an empty scope would open the route; say public() if that is meant")
    return _marking(Policy(scope, body, body_limit, cost, answer=answer, answered_at=answered_at))


def public(
    *,
    body: type[Schema] | None = None,
    body_limit: int | None = None,
    cost: int = 1,
    form: bool = False,
    wording: Wording | None = None,
    answer: type[Schema] | None = None,
    answered_at: tuple[int, ...] = (200,),
    any_host: bool = False,
) -> Callable[[View], View]:
    """Open the view to strangers. Said aloud, because nothing is open by omission."""
    return _marking(
        Policy(None, body, body_limit, cost, form, wording, answer, answered_at, any_host)
    )


def _marking(policy: Policy) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _MARK, policy)
        return view

    return mark


def policy_of(view: Callable[..., Any] | None) -> Policy | None:
    """Return the policy a view carries, or None."""
    return getattr(view, _MARK, None)


def collect(app: Flask) -> dict[str, Policy]:
    """Return the policy of every endpoint; a rule without one is a ConfigError."""
    policies: dict[str, Policy] = {}
    for rule in app.url_map.iter_rules():
        policies[rule.endpoint] = _policy_of_rule(app, rule)
    return policies


def _policy_of_rule(app: Flask, rule: Rule) -> Policy:
    view = app.view_functions.get(rule.endpoint)
    policy = policy_of(view)
    if inspect.iscoroutinefunction(view):
        raise ConfigError(
            f"the view of {rule.rule} ({rule.endpoint}) is a coroutine, and nobody would await it",
            fix="write it with def",
        )
    if policy is None:
        raise ConfigError(
            f"the route {rule.rule} ({rule.endpoint}) carries no policy",
            fix="decorate its view with requires(<scope>) or public()",
        )
    return policy


def endpoint_of_other_method(method: str = "") -> str | None:
    """Name the endpoint a wrong method missed: on a public path a stranger gets 405, not 401.

    ``method`` is one that the path takes; without it, any of them.
    """
    methods = getattr(request.routing_exception, "valid_methods", None)
    if not methods:
        return None
    adapter = request_ctx.url_adapter
    return adapter.match(method=method or next(iter(methods)))[0] if adapter is not None else None
