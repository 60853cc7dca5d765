"""``secureml theft-guard list | show | lift``: who was noticed, why, and letting them in again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from secureml import Event
from secureml.kit import output
from secureml.kit.command_types import format_time

from .assessor import CLIENT
from .client_state import coverage
from .cusum import score
from .detectors import DETECTORS, REASONS
from .enforcements import Enforcement, Enforcements
from .escalation import WATCHED, Policy
from .shared_table import SharedTable


@dataclass(frozen=True)
class CommandContext:
    """What the commands work with."""

    enforcements: Enforcements
    table: SharedTable
    policy: Policy
    now: Callable[[], float]


_pass_context = click.make_pass_decorator(CommandContext)


def group(context: CommandContext, tell: Callable[[Event], None]) -> click.Group:
    """Return the commands over one table of enforcements."""

    @click.group("theft-guard", commands=[list_enforcements, show])
    @click.pass_context
    def theft_guard(ctx: click.Context) -> None:
        """See who may be copying a model, and let them in again."""
        ctx.obj = context

    @theft_guard.command()
    @click.argument("client")
    @click.option("--model", help="Only for this model.")
    @output.json_option
    def lift(client: str, model: str | None, as_json: bool) -> None:
        """Let CLIENT in again and forget the evidence; an address block is named as in list."""
        lifted = context.enforcements.lift(client, model)
        if not lifted:
            raise click.ClickException(f"{client!r} was never flagged; see theft-guard list")
        models = sorted({enforcement.model for enforcement in lifted})
        for name in models:
            tell(Event("model_theft_lifted", client, {"model": name}))
        output.emit(
            {"lifted": client, "models": models},
            as_json,
            f"{client} is let in: {', '.join(models)}",
        )

    return theft_guard


@click.command("list")
@click.option("--all", "everyone", is_flag=True, help="Also those that were cleared or lifted.")
@output.json_option
@_pass_context
def list_enforcements(context: CommandContext, everyone: bool, as_json: bool) -> None:
    """List clients, address blocks and models at which something was noticed."""
    found = [e for e in context.enforcements.list_all() if everyone or e.level != WATCHED]
    lines = [
        f"{e.kind:<7}{e.name:<24}{e.model:<20}{e.level:<10}{e.score:>6.1f}  "
        f"{format_time(e.since)}  {e.reasons}"
        for e in found
    ]
    rows = [_public(enforcement) for enforcement in found]
    output.emit(rows, as_json, "\n".join(lines) or "nothing was noticed")


@click.command()
@click.argument("client")
@output.json_option
@_pass_context
def show(context: CommandContext, client: str, as_json: bool) -> None:
    """Show the level of CLIENT, and what each detector counts now."""
    enforcements = [_public(e) for e in context.enforcements.list_all() if e.name == client]
    live = [_live(record, context.policy) for record in _records(context, client)]
    if not enforcements and not live:
        raise click.ClickException(f"{client!r} has sent no rows and was never flagged")
    lines = [
        f"{e['model']}: {e['level']} since {e['since']}, {e['explanation']}" for e in enforcements
    ]
    for one in live:
        lines.append(
            f"{one['model']} now: score {one['score']}, {one['new_rows']} different rows of "
            f"{one['rows']}, {one['coverage']:.0%} of the quantile bins seen"
        )
        lines += [
            f"  {each['sum']:>6.1f}  {each['detector']:<13} {each['meaning']}: {each['counts']}"
            for each in one["detectors"]
        ]
    output.emit({"enforcements": enforcements, "now": live}, as_json, "\n".join(lines))


def _records(context: CommandContext, client: str) -> list[Any]:
    if not context.table.exists():
        return []
    return [
        record
        for record in context.table.records(CLIENT)
        if bytes(record["name"]).decode(errors="replace").partition(" ")[2] == client
    ]


def _live(record: Any, policy: Policy) -> dict[str, Any]:
    level = policy.levels[min(max(int(record["level"]), 0), len(policy.levels) - 1)]
    detectors = [
        {
            "detector": detector,
            "sum": round(float(record["sums"][index]), 2),
            "meaning": REASONS[detector],
            "counts": [int(count) for count in record["counts"][index][:-1]],
        }
        for index, detector in enumerate(DETECTORS)
    ]
    return {
        "model": bytes(record["name"]).decode(errors="replace").partition(" ")[0],
        "level": level,
        "score": round(score(record["sums"]), 2),
        "rows": int(record["rows"]),
        "new_rows": int(record["new_rows"]),
        "spent": int(record["spent"]),
        "coverage": round(coverage(record), 4),
        "detectors": detectors,
    }


def _public(enforcement: Enforcement) -> dict[str, Any]:
    reasons = [reason for reason in enforcement.reasons.split(",") if reason]
    return {
        "kind": enforcement.kind,
        "name": enforcement.name,
        "model": enforcement.model,
        "level": enforcement.level,
        "since": format_time(enforcement.since),
        "score": round(enforcement.score, 2),
        "rows": enforcement.rows,
        "reasons": reasons,
        "explanation": "; ".join(
            REASONS[r] for r in enforcement.reasons.split(",") if r in REASONS
        ),
        "lifted": format_time(enforcement.lifted or None),
    }
