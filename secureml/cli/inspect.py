"""``secureml check | phases | routes``: what would run here, without running it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import Desk
from secureml.cli.output import emit, json_option
from secureml.config_error import ConfigError
from secureml.state.store import StoreUnavailable

if TYPE_CHECKING:
    from secureml.core import House


@click.command()
@click.option("--every-model", is_flag=True, help="Exit 2 also where one model would be closed.")
@json_option
@click.pass_obj
def check(desk: Desk, every_model: bool, as_json: bool) -> None:
    """Go through the whole start and stop before serving; exit 0 when it may start, else 2.

    A start goes on without a model that is refused; that is a warning here.
    """
    from secureml.app import create_app
    from secureml.cli.nginx_conf import check_agreement
    from secureml.secret_ages import ages

    try:
        app = create_app(desk.instance, warn=False)
        check_agreement(app.extensions["secureml"].settings)
        unknown_tiers = _check_names(app.extensions["secureml"])
        if every_model:
            _demand_every_model(app.extensions["secureml"])
    except ConfigError as error:
        if not as_json:
            raise
        emit({"ok": False, "error": str(error)}, as_json, "")
        raise SystemExit(2) from None
    house = app.extensions["secureml"]
    models = {name: house.models.current(name) for name in house.models.names()}
    secrets = ages(house, time.time())
    warnings = unknown_tiers + _warnings(house)
    if not models:
        warnings.append("no model is sealed here, so /readyz says no_model: secureml models seal")
    warnings += [secret.warning() for secret in secrets if secret.old]
    lines = [f"ready to start: {house.settings.file}"]
    lines += [f"model {name} version {version}" for name, version in models.items()]
    lines += [secret.line() for secret in secrets]
    lines += [f"warning: {warning}" for warning in warnings]
    emit(
        {
            "ok": True,
            "profile": house.settings.profile,
            "models": models,
            "accepted_risks": sorted(house.settings.accept_risk),
            "secrets": [secret._asdict() for secret in secrets],
            "warnings": warnings,
        },
        as_json,
        "\n".join(lines),
    )


def _check_names(house: House) -> list[str]:
    """Refuse a setting that names a client or model that is not there; return the other faults.

    A tier is a word that clients share: the last of them may leave it and another take it up.
    """
    from secureml.corridor.references import TIER
    from secureml.known_names import unknown_data

    try:
        found = unknown_data(house)
    except StoreUnavailable:
        return []  # said beside the other warnings
    for reference, fault in found:
        if reference.kind != TIER:
            raise fault
    return [str(fault) for _, fault in found]


def _demand_every_model(house: House) -> None:
    for refused in house.models.refused().values():
        raise ConfigError(str(refused), file=str(house.settings.models_folder))


def _warnings(house: House) -> list[str]:
    """Return what does not stop a start: the store may be back by then, an old key still signs."""
    found = [
        f"{item.name} is not ready: {word}"
        for item in house.plugins
        if hasattr(item.plugin, "ready") and (word := item.plugin.ready())
    ]
    refused = [
        f"requests for this model are refused: {error}" for error in house.models.refused().values()
    ]
    try:
        return house.signing.warnings() + refused + found
    except StoreUnavailable as error:
        return [str(error), *refused, *found]


@click.command()
@json_option
@click.pass_obj
def phases(desk: Desk, as_json: bool) -> None:
    """Show who stands at which door, in order; a trailing ? marks a plugin that only observes."""
    from secureml.app import table_of_doors

    doors = table_of_doors(desk.house.plugins)
    text = "\n".join(f"{phase.name:<10} {', '.join(names) or '-'}" for phase, names in doors)
    emit({phase.value: names for phase, names in doors}, as_json, text)


@click.command()
@json_option
@click.pass_obj
def routes(desk: Desk, as_json: bool) -> None:
    """Show every address, its methods and what it demands."""
    from secureml.app import create_app

    app = create_app(desk.instance)
    table = [_route(rule, app) for rule in sorted(app.url_map.iter_rules(), key=str)]
    width = max(len(row["path"]) for row in table)
    text = "\n".join(
        f"{' '.join(row['methods']):<10} {row['path']:<{width}}  {row['scope'] or 'public'}"
        for row in table
    )
    emit(table, as_json, text)


def _route(rule: Any, app: Any) -> dict[str, Any]:
    from secureml.corridor.policy import policy_of

    policy = policy_of(app.view_functions[rule.endpoint])
    return {
        "path": rule.rule,
        "methods": sorted(rule.methods - {"HEAD"}),
        "scope": policy.scope if policy else None,
        "public": bool(policy and policy.public),
    }
