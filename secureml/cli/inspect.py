"""``secureml check | phases | routes``: what would run here, without running it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.config_error import ConfigError
from secureml.kit.output import emit, json_option
from secureml.state.store import StoreUnavailable

if TYPE_CHECKING:
    from secureml.core import Core


@click.command()
@click.option("--every-model", is_flag=True, help="Exit 2 also if only one model is refused.")
@json_option
@click.pass_obj
def check(context: CommandContext, every_model: bool, as_json: bool) -> None:
    """Run the whole start without serving; exit 0 if the server can start, else 2.

    A server also starts without a model that is refused; this is a warning here.
    """
    from secureml.app import create_app
    from secureml.cli.nginx_conf import check_core
    from secureml.secret_report import ages

    try:
        app = create_app(context.instance, warn=False)
        core = app.extensions["secureml"]
        check_core(core)
        unknown_tiers = _check_names(core)
        if every_model:
            _demand_every_model(core)
    except ConfigError as error:
        if not as_json:
            raise
        emit({"ok": False, "error": str(error)}, as_json, "")
        raise SystemExit(2) from None
    models = {name: core.models.current(name) for name in core.models.names()}
    secrets = ages(core, time.time())
    warnings = unknown_tiers + _warnings(core)
    if not models:
        warnings.append("no model is sealed; /readyz reports no_model; fix: secureml models seal")
    warnings += [secret.warning() for secret in secrets if secret.old]
    lines = [f"ready to start: {core.settings.file}"]
    lines += [f"model {name} version {version}" for name, version in models.items()]
    lines += [secret.line() for secret in secrets]
    lines += [f"warning: {warning}" for warning in warnings]
    emit(
        {
            "ok": True,
            "profile": core.settings.profile,
            "models": models,
            "accepted_risks": sorted(core.settings.accept_risk),
            "secrets": [secret._asdict() for secret in secrets],
            "warnings": warnings,
        },
        as_json,
        "\n".join(lines),
    )


def _check_names(core: Core) -> list[str]:
    """Refuse a setting that names a client or model that is not there; return the other faults.

    A tier is a word that clients share: the last of them may leave it and another take it up.
    """
    from secureml.known_names import unknown_data
    from secureml.pipeline.references import TIER

    try:
        found = unknown_data(core)
    except StoreUnavailable:
        return []  # said beside the other warnings
    for reference, fault in found:
        if reference.kind != TIER:
            raise fault
    return [str(fault) for _, fault in found]


def _demand_every_model(core: Core) -> None:
    for refused in core.models.refused().values():
        raise ConfigError(str(refused), file=str(core.settings.models_folder))


def _warnings(core: Core) -> list[str]:
    """Return what does not stop a start: the store may be back by then, an old key still signs."""
    from secureml.cli import edge_certificate

    found = [
        f"{item.name} is not ready: {word}"
        for item in core.plugins
        if hasattr(item.plugin, "ready") and (word := item.plugin.ready())
    ]
    if certificate := edge_certificate.warning(core.settings, time.time()):
        found.append(certificate)
    refused = [
        f"requests for this model are refused: {error}" for error in core.models.refused().values()
    ]
    try:
        return core.signing.warnings() + refused + found
    except StoreUnavailable as error:
        return [str(error), *refused, *found]


@click.command()
@json_option
@click.pass_obj
def phases(context: CommandContext, as_json: bool) -> None:
    """Show which plugins run in each phase, in order; ? marks a plugin in observe mode."""
    from secureml.app import phase_table

    phases = phase_table(context.core.plugins)
    text = "\n".join(f"{phase.name:<10} {', '.join(names) or '-'}" for phase, names in phases)
    emit({phase.value: names for phase, names in phases}, as_json, text)


@click.command()
@json_option
@click.pass_obj
def routes(context: CommandContext, as_json: bool) -> None:
    """Show every route with its methods and the scope it requires."""
    from secureml.app import create_app

    app = create_app(context.instance)
    table = [_route(rule, app) for rule in sorted(app.url_map.iter_rules(), key=str)]
    width = max(len(row["path"]) for row in table)
    text = "\n".join(
        f"{' '.join(row['methods']):<10} {row['path']:<{width}}  {row['scope'] or 'public'}"
        for row in table
    )
    emit(table, as_json, text)


def _route(rule: Any, app: Any) -> dict[str, Any]:
    from secureml.pipeline.policy import policy_of

    policy = policy_of(app.view_functions[rule.endpoint])
    return {
        "path": rule.rule,
        "methods": sorted(rule.methods - {"HEAD"}),
        "scope": policy.scope if policy else None,
        "public": bool(policy and policy.public),
    }
