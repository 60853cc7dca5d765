"""``secureml signing-keys rotate | list | retire``: the keys our tokens are signed with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.kit.command_types import format_time
from secureml.kit.output import emit, json_option
from secureml.state.keypair import ALGORITHMS
from secureml.state.signing import SigningFault

if TYPE_CHECKING:
    from secureml.state.signing import SigningRecord


@click.group("signing-keys")
def signing_keys() -> None:
    """Rotate, list and retire the keys that sign tokens."""


@signing_keys.command()
@click.option(
    "--if-due",
    is_flag=True,
    help="Only if the active key is due for rotation; for use by a timer.",
)
@click.option(
    "--algorithm", type=click.Choice(ALGORITHMS), help="Default: [signing_keys] algorithm."
)
@json_option
@click.pass_obj
def rotate(context: CommandContext, *, if_due: bool, algorithm: str | None, as_json: bool) -> None:
    """Make a new active key; the previous one verifies until its tokens have expired."""
    ring = context.core.signing
    if if_due and not ring.due():
        emit({"rotated": False}, as_json, "not due yet")
        return
    made = ring.rotate(algorithm)
    context.emit("crypto_key_rotated", kid=made.kid, algorithm=made.algorithm)
    emit(
        {"rotated": True, "kid": made.kid, "algorithm": made.algorithm},
        as_json,
        f"{made.kid} ({made.algorithm}) signs from now on",
    )


@signing_keys.command("list")
@json_option
@click.pass_obj
def list_keys(context: CommandContext, as_json: bool) -> None:
    """List the keys with state and age; private keys are never shown."""
    now = datetime.now(UTC).timestamp()
    rows = [_public(record, now) for record in context.core.signing.list()]
    lines = [
        f"{row['kid']}  {row['algorithm']:<6} {row['state']:<9} {row['age_days']:>4} days"
        for row in rows
    ]
    empty = "no keys yet; to make one: secureml signing-keys rotate"
    emit(rows, as_json, "\n".join(lines) or empty)


@signing_keys.command()
@click.argument("kid")
@json_option
@click.pass_obj
def retire(context: CommandContext, kid: str, as_json: bool) -> None:
    """Stop accepting KID immediately; for an active key a successor is made first."""
    ring = context.core.signing
    try:
        record = ring.retire(kid)
        active = ring.active().kid
    except SigningFault as fault:
        raise click.ClickException(str(fault)) from None
    context.emit("crypto_key_retired", kid=record.kid, successor=active)
    emit(
        {"kid": record.kid, "state": "retired", "active": active},
        as_json,
        f"{record.kid} is retired; the active key is {active}",
    )


def _public(record: SigningRecord, now: float) -> dict[str, Any]:
    return {
        "kid": record.kid,
        "algorithm": record.algorithm,
        "state": record.state(now),
        "age_days": int((now - record.created) // 86400),
        "created": format_time(record.created),
        "retiring": format_time(record.retiring),
        "retired": format_time(record.retired),
    }
