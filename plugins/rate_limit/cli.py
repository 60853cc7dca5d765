"""``secureml rate-limit explain | bans list | bans lift``; ``secureml limits`` is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
from limits.errors import StorageError

from secureml import Client, Event, Host
from secureml.kit import output
from secureml.kit.command_types import format_time

from .concurrency import ConcurrencyLimiter
from .enforcer import until_month_ends
from .fallback import FallbackLimiter, StorageUnavailable
from .headers import retry_after
from .penalty import Ban, BanList, Penalty
from .rules import (
    ADDRESS,
    CLIENT,
    CONCURRENCY,
    EACH_MODEL,
    REQUESTS,
    AppliedLimit,
    RequestFacts,
    Rule,
    address_key,
    matching,
)

_ANY_OTHER = "every other model"


@dataclass(frozen=True)
class CommandContext:
    """What the commands work on."""

    host: Host
    rules: Sequence[Rule]
    limiter: FallbackLimiter
    concurrency: ConcurrencyLimiter
    bans: BanList
    penalty: Penalty


_with_context = click.make_pass_decorator(CommandContext)


def group(context: CommandContext) -> click.Group:
    """Return the commands over one instance."""

    @click.group()
    @click.pass_context
    def rate_limit(ctx: click.Context) -> None:
        """Show limits, what remains of them, and who is banned."""
        ctx.obj = context

    rate_limit.add_command(explain)
    rate_limit.add_command(bans)
    return rate_limit


@click.command()
@click.argument("client", metavar="CLIENT")
@click.option(
    "--model", default="", help="For this model; default: for each model that has a limit."
)
@click.option("--address", default="", help="For requests from this address.")
@output.json_option
@_with_context
def explain(context: CommandContext, client: str, model: str, address: str, as_json: bool) -> None:
    """Show every limit that applies to a client, where it is configured, and what remains."""
    found = context.host.clients.get(client)
    if found is None:
        raise click.ClickException(f"there is no client {client!r}; see `secureml clients list`")
    limits = _applied_limits(context.rules, found, model, address)
    banned = context.penalty.seconds_left(f"client:{client}")
    answer = {
        "client": client,
        "tier": found.tier,
        "banned_seconds": retry_after(banned) if banned else 0,
        "limits": [_row(context, applied) for applied in limits],
    }
    output.emit(answer, as_json, _as_text(answer))


def _applied_limits(
    rules: Sequence[Rule], client: Client, model: str, address: str
) -> list[AppliedLimit]:
    """Return each limit once, over the routes and models that rules name."""
    routes = {rule.route for rule in rules} | {""}
    models = {model} if model else {r.model for r in rules} - {EACH_MODEL} | {"", _ANY_OTHER}
    if not model and not any(rule.model == EACH_MODEL for rule in rules):
        models.discard(_ANY_OTHER)
    key = address_key(address) if address else ""
    found: dict[tuple[str, str], AppliedLimit] = {}
    for route in sorted(routes):
        for name in sorted(models):
            facts = RequestFacts(key, client.name, client.tier, route, name)
            for applied in matching(rules, facts):
                found.setdefault((applied.rule.name, applied.key), applied)
    return list(found.values())


def _row(context: CommandContext, applied: AppliedLimit) -> dict[str, Any]:
    rule = applied.rule
    row = {
        "name": rule.name,
        "allow": rule.allowance.text,
        "unit": rule.unit,
        "for": f"{rule.target}:{rule.target_name}" if rule.target_name else rule.target,
        "route": rule.route,
        "model": applied.key.rpartition("|")[2] if rule.model == EACH_MODEL else rule.model,
        "strategy": "" if rule.allowance.kind == CONCURRENCY else rule.strategy,
        "on_storage_failure": rule.on_storage_failure,
        "source": rule.source,
    }
    return row | _usage(context, applied)


def _usage(context: CommandContext, applied: AppliedLimit) -> dict[str, Any]:
    """Return what remains, and the seconds until more does where nothing remains."""
    allowance = applied.rule.allowance
    if allowance.kind == CONCURRENCY:
        in_use = context.concurrency.in_use(applied.key, allowance.amount)
        return {"remaining": allowance.amount - in_use}
    if applied.key.endswith(f"|{_ANY_OTHER}"):
        return {"remaining": None}
    try:
        result = context.limiter.test(context.limiter.bind(applied), 1)
    except (StorageUnavailable, StorageError) as error:
        raise click.ClickException(f"the storage of the rate limits fails ({error})") from None
    if result is None:
        raise click.ClickException("the storage of the rate limits fails")
    if allowance.calendar:
        result = until_month_ends(result, context.host.now())
    usage: dict[str, Any] = {"remaining": result.remaining}
    return usage if result.allowed else usage | {"retry_after": retry_after(result.retry_after)}


def _as_text(answer: dict[str, Any]) -> str:
    head = f"{answer['client']}, tier {answer['tier']}"
    if answer["banned_seconds"]:
        head += f": BANNED for {answer['banned_seconds']} s"
    lines = [head]
    for row in answer["limits"]:
        about = [row["unit"]] * (row["unit"] != REQUESTS)
        about += [f"of {row['model']}"] * bool(row["model"]) + [row["route"]] * bool(row["route"])
        left = "each counted separately" if row["remaining"] is None else f"{row['remaining']} left"
        if "retry_after" in row:
            left += f", more in {row['retry_after']} s"
        lines.append(
            f"  {row['name']:<20} {row['for']}: {row['allow']} {' '.join(about)}".rstrip()
            + f" | {left} | {row['source']}"
        )
    return "\n".join(lines)


@click.group()
def bans() -> None:
    """List and lift bans."""


@bans.command("list")
@click.option(
    "--past",
    is_flag=True,
    help="Include bans that have ended and still make the next one longer.",
)
@output.json_option
@_with_context
def list_bans(context: CommandContext, past: bool, as_json: bool) -> None:
    """Show who is banned, until when and by which limit."""
    rows = [_public(ban, context.host.now) for ban in context.bans.list(past=past)]
    lines = [
        f"{row['subject']}  level {row['level']}  until {row['until']}  {row['limit']}"
        for row in rows
    ]
    output.emit(rows, as_json, "\n".join(lines) or "no caller is banned")


@bans.command()
@click.argument("subject", metavar="SUBJECT")
@output.json_option
@_with_context
def lift(context: CommandContext, subject: str, as_json: bool) -> None:
    """End the ban of client:NAME or address:ADDRESS, from the next request on."""
    kind, _, name = subject.partition(":")
    if kind == ADDRESS:
        subject = f"{kind}:{address_key(name.partition('/')[0])}"
    if not any(ban.subject == subject for ban in context.bans.list(past=True)):
        raise click.ClickException(
            f"{subject!r} is not banned; see `secureml rate-limit bans list`"
        )
    client = name if kind == CLIENT else ""
    # Recorded before it is called done: a change whose record cannot be written fails.
    context.bans.lift(subject)
    context.host.emit(Event("excess_rate_limit_ban_lifted", client, {"subject": subject}))
    refusals = context.penalty.refusals(subject)
    if refusals is not None:
        try:
            context.limiter.clear(refusals)
        except StorageError as error:
            message = f"the ban is lifted, but earlier refusals still count ({error})"
            raise click.ClickException(message) from None
    output.emit({"lifted": subject}, as_json, f"the ban of {subject} is lifted")


def _public(ban: Ban, now: Callable[[], float]) -> dict[str, Any]:
    return {
        "subject": ban.subject,
        "level": ban.level,
        "since": format_time(ban.since),
        "until": format_time(ban.until),
        "seconds_left": max(0, round(ban.until - now())),
        "limit": ban.reason,
    }
