"""``secureml theft-guard list | show | lift``: who was noticed, why, and letting them in again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from secureml import Event, output

from .guard import CLIENT
from .levels import WATCHED, Terms
from .memory import coverage
from .names import REASONS, TESTS
from .register import Entry, Register
from .sequence import score
from .shared import Slots


@dataclass(frozen=True)
class Counter:
    """What the commands work with."""

    register: Register
    slots: Slots
    terms: Terms
    now: Callable[[], float]


_at_counter = click.make_pass_decorator(Counter)


def group(counter: Counter, tell: Callable[[Event], None]) -> click.Group:
    """Return the commands over one register."""

    @click.group("theft-guard", commands=[list_parties, show])
    @click.pass_context
    def theft_guard(ctx: click.Context) -> None:
        """See who may be copying a model, and let them in again."""
        ctx.obj = counter

    @theft_guard.command()
    @click.argument("client")
    @click.option("--model", help="Only for this model.")
    @output.json_option
    def lift(client: str, model: str | None, as_json: bool) -> None:
        """Let CLIENT in again and forget the evidence; an address block is named as in list."""
        stood = counter.register.lift(client, model)
        if not stood:
            raise click.ClickException(f"nothing is known against {client!r}")
        models = sorted({entry.model for entry in stood})
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
@_at_counter
def list_parties(counter: Counter, everyone: bool, as_json: bool) -> None:
    """List clients, address blocks and models at which something was noticed."""
    found = [e for e in counter.register.every() if everyone or e.level != WATCHED]
    lines = [
        f"{e.kind:<7}{e.name:<24}{e.model:<20}{e.level:<10}{e.score:>6.1f}  "
        f"{_time(e.since)}  {e.reasons}"
        for e in found
    ]
    rows = [_public(entry) for entry in found]
    output.emit(rows, as_json, "\n".join(lines) or "nothing was noticed")


@click.command()
@click.argument("client")
@output.json_option
@_at_counter
def show(counter: Counter, client: str, as_json: bool) -> None:
    """Show what is known of CLIENT: its standing, and what each test counts now."""
    standings = [_public(e) for e in counter.register.every() if e.name == client]
    live = [_live(slot, counter.terms) for slot in _slots(counter, client)]
    if not standings and not live:
        raise click.ClickException(f"nothing is known of {client!r}")
    lines = [f"{e['model']}: {e['level']} since {e['since']}, {e['why']}" for e in standings]
    for one in live:
        lines.append(
            f"{one['model']} now: score {one['score']}, {one['new']} different rows of "
            f"{one['rows']}, {one['coverage']:.0%} of the quantile bins seen"
        )
        lines += [
            f"  {test['sum']:>6.1f}  {test['test']:<9} {test['what']}: {test['counts']}"
            for test in one["tests"]
        ]
    output.emit({"standings": standings, "now": live}, as_json, "\n".join(lines))


def _slots(counter: Counter, client: str) -> list[Any]:
    if not counter.slots.exists():
        return []
    return [
        slot
        for slot in counter.slots.every(CLIENT)
        if bytes(slot["name"]).decode(errors="replace").partition(" ")[2] == client
    ]


def _live(slot: Any, terms: Terms) -> dict[str, Any]:
    level = terms.ladder[min(max(int(slot["level"]), 0), len(terms.ladder) - 1)]
    tests = [
        {
            "test": test,
            "sum": round(float(slot["sums"][place]), 2),
            "what": REASONS[test],
            "counts": [int(count) for count in slot["counts"][place][:-1]],
        }
        for place, test in enumerate(TESTS)
    ]
    return {
        "model": bytes(slot["name"]).decode(errors="replace").partition(" ")[0],
        "level": level,
        "score": round(score(slot["sums"]), 2),
        "rows": int(slot["rows"]),
        "new": int(slot["new"]),
        "spent": int(slot["spent"]),
        "coverage": round(coverage(slot), 4),
        "tests": tests,
    }


def _public(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "model": entry.model,
        "level": entry.level,
        "since": _time(entry.since),
        "score": round(entry.score, 2),
        "rows": entry.rows,
        "reasons": [reason for reason in entry.reasons.split(",") if reason],
        "why": "; ".join(REASONS[r] for r in entry.reasons.split(",") if r in REASONS),
        "lifted": _time(entry.lifted) if entry.lifted else None,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
