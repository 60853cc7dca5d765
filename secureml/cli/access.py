"""``secureml access explain CLIENT METHOD PATH``: may they, and why, asked of those who decide.

The route is matched by the application's own map and the plugins at AUTHORIZE are asked with
the client's rights, so what is explained is what would happen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.kit.output import emit, json_option

if TYPE_CHECKING:
    from flask import Flask

    from secureml.core import Core
    from secureml.models.serving.handle import ModelHandle
    from secureml.pipeline.exchange import Exchange
    from secureml.pipeline.policy import Policy
    from secureml.pipeline.principal import Credential, Principal
    from secureml.pipeline.steps import Step as PhaseStep
    from secureml.state.clients import Client


@dataclass(frozen=True)
class Step:
    """One question on the way, and how it was answered."""

    ask: str
    ok: bool
    why: str


@dataclass(frozen=True)
class RouteTarget:
    """What a method and a path lead to."""

    rule: str
    policy: Policy
    model: str
    version: str


@click.group()
def access() -> None:
    """Explain which requests a client may send."""


@access.command()
@click.argument("client")
@click.argument("method")
@click.argument("path")
@json_option
@click.pass_obj
def explain(context: CommandContext, client: str, method: str, path: str, as_json: bool) -> None:
    """Say whether CLIENT may send METHOD to PATH, and why; exit 0 if it may, else 1."""
    from secureml.app import create_app

    app = create_app(context.instance)
    steps, credentials = _explain(app, client, method.upper(), path)
    allowed = all(step.ok for step in steps)
    answer = {
        "allowed": allowed,
        "steps": [asdict(step) for step in steps],
        "credentials": credentials,
    }
    lines = [f"{'yes' if step.ok else 'NO ':<4} {step.ask:<12} {step.why}" for step in steps]
    lines += [f"     {row['method']} {row['id']}: {row['why']}" for row in credentials]
    emit(answer, as_json, "\n".join([*lines, "allowed" if allowed else "not allowed"]))
    if not allowed:
        raise SystemExit(1)


def _explain(
    app: Flask, name: str, method: str, path: str
) -> tuple[list[Step], list[dict[str, Any]]]:
    core: Core = app.extensions["secureml"]
    step, target = _route(app, method, path)
    if target is None:
        return [step], []
    if target.policy.public:
        return [
            step,
            Step("policy", ok=True, why="the route is public: no credential is needed"),
        ], []
    client = core.clients.get(name)
    steps = [step, _client_step(name, client)]
    if client is None:
        return steps, []
    principal = _principal(client)
    exchange = _exchange(target, method, path, principal)
    core.serving.choice.choose(exchange)
    steps += _model_step(core, target, exchange.model)
    steps += _decisions(core, exchange)
    return steps, _credentials(core, exchange, principal) if client.enabled else []


def _route(app: Flask, method: str, path: str) -> tuple[Step, RouteTarget | None]:
    from werkzeug.exceptions import MethodNotAllowed, NotFound

    from secureml.pipeline.policy import policy_of

    try:
        rule, words = app.url_map.bind("localhost").match(path, method, return_rule=True)
    except MethodNotAllowed as refused:
        known = ", ".join(sorted(refused.valid_methods or ()))
        return Step("route", ok=False, why=f"{path} accepts {known} only"), None
    except NotFound:
        return Step("route", ok=False, why=f"no route matches {path}"), None
    policy = policy_of(app.view_functions[rule.endpoint])
    if policy is None:
        raise RuntimeError(f"{rule.rule} has no policy")
    demand = "is public" if policy.public else f"requires {policy.scope}"
    return Step("route", ok=True, why=f"{method} {rule.rule} {demand}"), RouteTarget(
        rule.rule, policy, words.get("model", ""), words.get("version", "")
    )


def _client_step(name: str, client: Client | None) -> Step:
    if client is None:
        return Step("client", ok=False, why=f"there is no client {name!r}")
    if not client.enabled:
        return Step("client", ok=False, why=f"{name} is disabled")
    scopes, models = ", ".join(sorted(client.scopes)), ", ".join(sorted(client.models))
    return Step("client", ok=True, why=f"{name} has {scopes or 'no scope'}; models {models}")


def _model_step(core: Core, target: RouteTarget, model: ModelHandle | None) -> list[Step]:
    if not target.model:
        return []
    if model is None and target.version and core.models.get(target.model) is not None:
        why = f"version {target.version} of {target.model} is not loaded"
        return [Step("model", ok=False, why=why)]
    if model is None and core.models.is_refused(target.model):
        return [Step("model", ok=False, why=f"{target.model!r} was refused at the start")]
    if model is None:
        return [Step("model", ok=False, why=f"no model is called {target.model!r}")]
    return [Step("model", ok=True, why=f"version {model.version} of {model.name} answers")]


def _principal(client: Client) -> Principal:
    from secureml.pipeline.principal import EXPLAIN_METHOD, Principal

    return Principal(
        client=client.name,
        subject=client.name,
        scopes=client.scopes,
        models=client.models,
        tier=client.tier,
        method=EXPLAIN_METHOD,
        credential="",
    )


def _exchange(target: RouteTarget, method: str, path: str, principal: Principal) -> Exchange:
    from flask import Request
    from werkzeug.test import EnvironBuilder

    from secureml.pipeline.exchange import Exchange

    request = Request(EnvironBuilder(path=path, method=method).get_environ())
    return Exchange(
        "0" * 32,
        request,
        0.0,
        0,
        policy=target.policy,
        route=target.rule,
        known=True,
        principal=principal,
        model_name=target.model,
        model_version=target.version,
    )


def _decisions(core: Core, exchange: Exchange) -> list[Step]:
    """Ask every plugin at AUTHORIZE, as the pipeline would."""
    from secureml.pipeline.phases import Phase
    from secureml.pipeline.steps import steps_at

    return [_decision(step, exchange) for step in steps_at(core.plugins, Phase.AUTHORIZE)]


def _decision(step: PhaseStep, exchange: Exchange) -> Step:
    from secureml.pipeline.exit_signals import contained
    from secureml.pipeline.phases import Phase
    from secureml.pipeline.problems import Problem
    from secureml.pipeline.steps import check_returned, reason_of

    try:
        check_returned(step, Phase.AUTHORIZE, step.call(exchange))
    except Problem as problem:
        return Step(step.plugin, ok=False, why=problem.reason or problem.code)
    except BaseException as error:  # noqa: BLE001 - what fails there refuses, so it does here
        return Step(step.plugin, ok=False, why=reason_of(contained(error)))
    return Step(step.plugin, ok=True, why="agrees")


def _credentials(core: Core, exchange: Exchange, principal: Principal) -> list[dict[str, Any]]:
    """Say of each credential of the client whether it would do."""
    from secureml.pipeline.plugin_errors import call_extra

    return [
        {"id": each.id, "method": each.method, "state": each.state, "why": why, "ok": not why}
        | ({} if why else {"why": "would do"})
        for loaded in core.plugins
        if hasattr(loaded.plugin, "credentials")
        for each in call_extra(loaded.plugin, "credentials", principal.client)
        for why in [_against(core, exchange, principal, each)]
    ]


def _against(core: Core, exchange: Exchange, principal: Principal, held: Credential) -> str:
    from secureml.state.scopes import intersect

    if held.state != "active":
        return held.state
    scopes = principal.scopes if held.scopes is None else intersect(principal.scopes, held.scopes)
    exchange.principal = replace(principal, scopes=scopes, method=held.method)
    try:
        return ", ".join(step.why for step in _decisions(core, exchange) if not step.ok)
    finally:
        exchange.principal = principal
