"""``secureml api-keys issue | list | rotate | revoke``. A key is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from secureml import Event
from secureml.kit import output
from secureml.kit.command_types import DurationOrNever, format_time, scopes_option
from secureml.kit.protocols import Clients

from .key import Key
from .keyring import KeyFault, KeyRecord, Keyring


@dataclass(frozen=True)
class CommandContext:
    """What the commands work with; ``now`` is seconds since the epoch."""

    keyring: Keyring
    clients: Clients
    now: Callable[[], float]
    emit: Callable[[Event], None]


pass_context = click.make_pass_decorator(CommandContext)


def group(context: CommandContext) -> click.Group:
    """Return the commands over one keyring."""

    @click.group("api-keys", commands=[issue, list_keys, rotate, revoke])
    @click.pass_context
    def api_keys(ctx: click.Context) -> None:
        """Issue, list, rotate and revoke API keys."""
        ctx.obj = context

    return api_keys


@click.command()
@click.argument("client")
@click.option(
    "--expires",
    type=DurationOrNever(),
    default="90d",
    show_default=True,
    help="How long it is good for: 30d, 12h, or never.",
)
@scopes_option("Narrow the key to this right of its client; repeatable.")
@output.json_option
@pass_context
def issue(
    context: CommandContext,
    client: str,
    expires: float | None,
    scopes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a key for CLIENT and show it, this once."""
    owner = context.clients.get(client)
    if owner is None:
        raise click.ClickException(f"there is no client {client!r}: secureml clients add {client}")
    if expires is not None and expires <= 0:
        raise click.BadParameter("a key is good for some time", param_hint="--expires")
    beyond = sorted(set(scopes) - owner.scopes)
    if beyond and not as_json:
        # Not refused: the key holds what its client holds, and that is asked at each request.
        click.echo(f"note: {client} itself does not hold {', '.join(beyond)}", err=True)
    made = context.keyring.issue(client, lifetime=expires, scopes=scopes or None)
    context.emit(Event("authn_key_created", client, {"credential": made[1].id}))
    _show(made, as_json)


@click.command("list")
@click.option("--client", help="Only the keys of this client.")
@output.json_option
@pass_context
def list_keys(context: CommandContext, client: str | None, as_json: bool) -> None:
    """List keys by id; the keys themselves are not kept."""
    now = context.now()
    rows = [_public(record, now) for record in context.keyring.list(client)]
    lines = [
        f"{row['id']}  {row['client']:<20} {row['state']:<8} {row['expires'] or 'never'}"
        for row in rows
    ]
    output.emit(rows, as_json, "\n".join(lines) or "no keys yet")


@click.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    type=DurationOrNever(),
    default="24h",
    show_default=True,
    help="How long the old key goes on beside the new one.",
)
@output.json_option
@pass_context
def rotate(context: CommandContext, key_id: str, overlap: float | None, as_json: bool) -> None:
    """Replace a key: show a new one, and let the old one end after the overlap."""
    if overlap is None:
        raise click.BadParameter("an overlap ends: 0s, 24h, 7d", param_hint="--overlap")
    try:
        made = context.keyring.rotate(key_id, overlap=overlap)
    except KeyFault as fault:
        raise click.ClickException(str(fault)) from None
    key, record = made
    # Whatever came of the old key ends with it, not when it would have ended by itself.
    ends = context.now() + overlap
    facts: dict[str, str | float] = {"credential": key_id, "successor": record.id, "ends": ends}
    context.emit(Event("authn_key_rotated", record.client, facts))
    _show((key, record), as_json)


@click.command()
@click.argument("key_id", metavar="ID")
@output.json_option
@pass_context
def revoke(context: CommandContext, key_id: str, as_json: bool) -> None:
    """End a key, from the next request in every worker."""
    try:
        record = context.keyring.revoke(key_id)
    except KeyFault as fault:
        raise click.ClickException(str(fault)) from None
    context.emit(Event("authn_key_revoked", record.client, {"credential": record.id}))
    output.emit(
        {"id": record.id, "revoked": format_time(record.revoked)},
        as_json,
        f"{record.id} is revoked",
    )


def _show(made: tuple[Key, KeyRecord], as_json: bool) -> None:
    key, record = made
    output.emit(
        {
            "key": key.text,
            "id": record.id,
            "client": record.client,
            "expires": format_time(record.expires),
        },
        as_json,
        f"{key.text}\n(key {record.id} of {record.client}, good until "
        f"{format_time(record.expires) or 'revoked'}; it is shown this once)",
    )


def _public(record: KeyRecord, now: float) -> dict[str, Any]:
    return {
        "id": record.id,
        "client": record.client,
        "state": record.state(now),
        "scopes": None if record.scopes is None else sorted(record.scopes),
        "created": format_time(record.created),
        "expires": format_time(record.expires),
        "revoked": format_time(record.revoked),
        "successor": record.successor,
    }
