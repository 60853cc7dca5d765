"""What a route demands, said beside the view; a route that says nothing stops the start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, request
from flask.globals import request_ctx
from marshmallow import Schema
from werkzeug.routing import Rule

from secureml.config_error import ConfigError
from secureml.pipeline.call_analysis import never_runs, source_of
from secureml.pipeline.prediction_format import PredictionFormat

View = TypeVar("View", bound=Callable[..., Any])
_MARK = "secureml_policy"
EXTENSION = "secureml.pipeline"  # under this word an app keeps its pipeline
Wording = Callable[..., tuple[str, str]]
# Bans, limits and failing counters are passed over at these routes, so nobody may add to them.
HEALTH_ROUTES = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Policy:
    """The demands of one route.

    ``scope`` is the right a caller needs; None means the route is public.
    ``body`` is the envelope a JSON body must fit; None means the body is not read.
    ``body_limit`` is in bytes; None means the site's own limit.
    ``cost`` is what one call weighs in a rate limit.
    ``limited_as`` is another route, whose limits are this one's, too, and are shared with it: what
    a limit on that route allows cannot be had again here.
    ``form`` reads the body as a form instead of JSON, for protocols that say so.
    ``wording`` words this route's refusals, where a protocol has words of its own (RFC 6749,
    5.2): it takes the problem, its kind and the exchange and returns a body and its media type.
    ``any_host`` answers whatever the Host header says, for health checks by address.
    ``answer`` describes the JSON the view answers with, ``answered_at`` the statuses at which
    it does; nothing is checked against it, it is for whoever reads the description.
    ``format`` is how a route that predicts reads bodies and makes answers, where its protocol has
    a format of its own; None is the core's. It needs ``body``, the envelope of its JSON.
    ``present`` makes the body of an answer with a `Result`, once that has passed SHAPE: it takes
    the exchange and returns what JSON can carry. None presents it as a prediction.
    ``health`` marks the core's own health checks, see `health_check`: what may be refused to
    everybody else must still be answered there. It is no other word for public.
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
    health: bool = False
    limited_as: str = ""
    format: PredictionFormat | None = None
    present: Callable[..., Any] | None = None

    @property
    def public(self) -> bool:
        """Tell whether strangers may call."""
        return self.scope is None


def requires(  # noqa: PLR0913 - what a route may demand, each by its name
    scope: str,
    *,
    body: type[Schema] | None = None,
    body_limit: int | None = None,
    cost: int = 1,
    wording: Wording | None = None,
    answer: type[Schema] | None = None,
    answered_at: tuple[int, ...] = (200,),
    limited_as: str = "",
    format: PredictionFormat | None = None,  # noqa: A002 - what it is, as in Policy
    present: Callable[..., Any] | None = None,
) -> Callable[[View], View]:
    """Demand ``scope`` of whoever calls the view."""
    if not scope:
        raise ValueError("an empty scope would open the route; say public() if that is meant")
    if format is not None and body is None:
        raise ValueError("a format needs body=, the envelope of its JSON")
    if format is not None and present is not None:
        raise ValueError("a format makes the answers: it leaves nothing to present")
    return _marking(
        Policy(
            scope,
            body,
            body_limit,
            cost,
            wording=wording,
            answer=answer,
            answered_at=answered_at,
            limited_as=limited_as,
            format=format,
            present=present,
        )
    )


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


def health_check(
    *, answer: type[Schema] | None = None, answered_at: tuple[int, ...] = (200,)
) -> Callable[[View], View]:
    """Open one of `HEALTH_ROUTES`: for the core alone, so the public API does not offer it.

    Whether we live must not depend on how busy we are, or on who else comes from an address.
    """
    return _marking(
        Policy(None, answer=answer, answered_at=answered_at, any_host=True, health=True)
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
    location = f"{rule.rule} ({rule.endpoint}{f', {source_of(view)}' if view else ''})"
    for what, call in (("view", view), *_calls_of(policy)):
        if call is not None and (kind := never_runs(call)):
            raise ConfigError(
                f"the {what} of {location} is {kind}: it would be called and never run",
                fix="write it with def, without yield",
            )
    if policy is None:
        raise ConfigError(
            f"the route {location} carries no policy",
            fix="decorate its view with requires(<scope>) or public()",
        )
    if policy.health and not _is_health_check(policy, rule):
        raise ConfigError(
            f"the route {rule.rule} ({rule.endpoint}) says that it is a health check, and is none: "
            "bans and limits would not hold there",
            fix="decorate its view with public()",
        )
    return policy


def _calls_of(policy: Policy | None) -> list[tuple[str, Callable[..., Any] | None]]:
    """Return what the core calls for a route beside its view, each with what it is."""
    if policy is None:
        return []
    methods = ("json_length", "instances", "answer") if policy.format is not None else ()
    format_calls = [(f"{name} of the format", getattr(policy.format, name)) for name in methods]
    return [("wording", policy.wording), ("presentation", policy.present), *format_calls]


def _is_health_check(policy: Policy, rule: Rule) -> bool:
    takes_nothing = policy.public and policy.body is None and not policy.form
    methods = frozenset(rule.methods or ()) - {"HEAD", "OPTIONS"}
    return rule.rule in HEALTH_ROUTES and takes_nothing and methods == {"GET"}


def endpoint_of_other_method(method: str = "") -> str | None:
    """Name the endpoint a wrong method missed: on a public path a stranger gets 405, not 401.

    ``method`` is one that the path takes; without it, any of them.
    """
    methods = getattr(request.routing_exception, "valid_methods", None)
    if not methods:
        return None
    adapter = request_ctx.url_adapter
    return adapter.match(method=method or next(iter(methods)))[0] if adapter is not None else None
