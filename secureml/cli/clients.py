"""``secureml clients``: who may call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.config_error import did_you_mean
from secureml.kit.command_types import format_time
from secureml.kit.output import emit, json_option
from secureml.state.clients import Client, ClientError
from secureml.state.scopes import MODEL, RIGHT

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group()
def clients() -> None:
    """Add, change, list, disable and enable clients."""


_unseen = click.option(
    "--allow-unknown",
    is_flag=True,
    help="Accept scopes and models that do not exist yet.",
)


def _require_known(
    context: CommandContext,
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    *,
    allow_unknown: bool,
) -> None:
    """Refuse a right to what is not here: it would look like one and give nothing.

    What has not the shape of a right is left to `Clients`, which says so. Raises ClientError.
    """
    if allow_unknown:
        return
    narrowed = [scope.partition("@")[2] for scope in scopes]
    required = {name.partition("@")[0] for name in [*narrowed, *models] if MODEL.fullmatch(name)}
    _require("model", required - {"*"}, context.known_models if required else frozenset)
    requested = {scope.partition("@")[0] for scope in scopes if RIGHT.fullmatch(scope)}
    _require("scope", requested, context.known_scopes if requested else frozenset)


def _require(kind: str, required: set[str], known: Callable[[], frozenset[str]]) -> None:
    for name in sorted(required - known()):
        there = ", ".join(sorted(known())) or "none"
        raise ClientError(
            f"there is no {kind} {name!r}; fix: {did_you_mean(name, sorted(known()))}the {kind}s "
            f"here are {there}; or accept it with --allow-unknown"
        )


@clients.command()
@click.argument("name")
@click.option(
    "--tier", default="standard", show_default=True, help="The tier, which decides its limits."
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="A scope it gets; repeatable. Default: predict and models:read.",
)
@click.option(
    "--model", "models", multiple=True, help="A model it may use; repeatable. Default: all."
)
@_unseen
@json_option
@click.pass_obj
def add(
    context: CommandContext,
    name: str,
    tier: str,
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    allow_unknown: bool,
    as_json: bool,
) -> None:
    """Add the client NAME."""
    try:
        _require_known(context, scopes, models, allow_unknown=allow_unknown)
        client = context.clients.add(name, tier=tier, scopes=scopes or None, models=models or None)
    except ClientError as error:
        raise click.ClickException(str(error)) from None
    context.emit("user_created", client.name, **_facts(client))
    emit(_public(client), as_json, _line(client))


@clients.command("set")
@click.argument("name")
@click.option("--tier", help="The tier, which decides its limits.")
@click.option("--scope", "scopes", multiple=True, help="The scopes it has from now on; repeatable.")
@click.option("--model", "models", multiple=True, help="The models it may use from now on.")
@_unseen
@json_option
@click.pass_obj
def set_rights(
    context: CommandContext,
    name: str,
    tier: str | None,
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    allow_unknown: bool,
    as_json: bool,
) -> None:
    """Change what the client NAME may do, from its next request on."""
    if not (tier or scopes or models):
        raise click.UsageError("nothing to change; fix: give --tier, --scope or --model")
    try:
        _require_known(context, scopes, models, allow_unknown=allow_unknown)
        client = context.clients.change(
            name, tier=tier, scopes=scopes or None, models=models or None
        )
    except ClientError as error:
        raise click.ClickException(str(error)) from None
    context.emit("privilege_permissions_changed", client.name, **_facts(client))
    emit(_public(client), as_json, _line(client))


@clients.command("list")
@json_option
@click.pass_obj
def list_clients(context: CommandContext, as_json: bool) -> None:
    """List every client."""
    found = context.clients.list()
    emit(
        [_public(client) for client in found],
        as_json,
        "\n".join(map(_line, found)) or "no clients yet",
    )


@clients.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(context: CommandContext, name: str, as_json: bool) -> None:
    """Show the client NAME."""
    client = context.clients.get(name)
    if client is None:
        raise click.ClickException(f"there is no client {name!r}")
    emit(_public(client), as_json, _line(client))


@clients.command()
@click.argument("name")
@json_option
@click.pass_obj
def disable(context: CommandContext, name: str, as_json: bool) -> None:
    """Disable the client NAME, from its next request on."""
    _switch(context, name, enabled=False, as_json=as_json)


@clients.command()
@click.argument("name")
@json_option
@click.pass_obj
def enable(context: CommandContext, name: str, as_json: bool) -> None:
    """Enable the client NAME again."""
    _switch(context, name, enabled=True, as_json=as_json)


def _switch(context: CommandContext, name: str, *, enabled: bool, as_json: bool) -> None:
    try:
        context.clients.set_enabled(name, enabled=enabled)
    except ClientError as error:
        raise click.ClickException(str(error)) from None
    context.emit("user_enabled" if enabled else "user_disabled", name)
    emit(
        {"name": name, "enabled": enabled},
        as_json,
        f"{name} is {'enabled' if enabled else 'disabled'}",
    )


def _facts(client: Client) -> dict[str, str]:
    return {
        "tier": client.tier,
        "scopes": " ".join(sorted(client.scopes)),
        "models": " ".join(sorted(client.models)),
    }


def _public(client: Client) -> dict[str, Any]:
    return {
        "name": client.name,
        "tier": client.tier,
        "scopes": sorted(client.scopes),
        "models": sorted(client.models),
        "enabled": client.enabled,
        "created": format_time(client.created),
    }


def _line(client: Client) -> str:
    state = "enabled" if client.enabled else "DISABLED"
    return (
        f"{client.name:<20} {client.tier:<10} {state:<9} "
        f"scopes {','.join(sorted(client.scopes))}  models {','.join(sorted(client.models))}"
    )
