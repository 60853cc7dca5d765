"""``secureml rate-limit explain | bans list | bans lift``; ``secureml limits`` is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from limits.errors import StorageError

from secureml import Client, Event, Host, output

from .allowance import AT_ONCE
from .backoff import Backoff
from .bans import Ban, Bans
from .counting import Counting, StoreFails
from .gate import in_month
from .policy_fields import retry_after
from .rules import ADDRESS, CLIENT, EACH, REQUESTS, Asker, Claim, Rule, address_key, holding
from .slots import Slots

_EVERY = "every other model"


@dataclass(frozen=True)
class Counter:
    """What the commands work on."""

    host: Host
    rules: Sequence[Rule]
    counting: Counting
    slots: Slots
    bans: Bans
    backoff: Backoff


_at_counter = click.make_pass_decorator(Counter)


def group(counter: Counter) -> click.Group:
    """Return the commands over one instance."""

    @click.group()
    @click.pass_context
    def rate_limit(ctx: click.Context) -> None:
        """Show what is allowed and left, and who is banned."""
        ctx.obj = counter

    rate_limit.add_command(explain)
    rate_limit.add_command(bans)
    return rate_limit


@click.command()
@click.argument("client", metavar="CLIENT")
@click.option("--model", default="", help="As if asking this model; else each that has a limit.")
@click.option("--address", default="", help="As if coming from this address.")
@output.json_option
@_at_counter
def explain(counter: Counter, client: str, model: str, address: str, as_json: bool) -> None:
    """Show every limit that would hold for a client, where it comes from, and what is left."""
    found = counter.host.clients.get(client)
    if found is None:
        raise click.ClickException(f"there is no client {client!r}; see `secureml clients list`")
    rows = [_row(counter, claim) for claim in _claims(counter.rules, found, model, address)]
    left = counter.backoff.left(f"client:{client}")
    answer = {
        "client": client,
        "tier": found.tier,
        "banned_seconds": retry_after(left) if left else 0,
        "limits": rows,
    }
    output.emit(answer, as_json, _page(answer))


def _claims(rules: Sequence[Rule], client: Client, model: str, address: str) -> list[Claim]:
    """Return each claim once, over the routes and models that rules name."""
    routes = {rule.route for rule in rules} | {""}
    models = {model} if model else {rule.model for rule in rules} - {EACH} | {"", _EVERY}
    if not model and not any(rule.model == EACH for rule in rules):
        models.discard(_EVERY)
    place = address_key(address) if address else ""
    found: dict[tuple[str, str], Claim] = {}
    for route in sorted(routes):
        for name in sorted(models):
            for claim in holding(rules, Asker(place, client.name, client.tier, route, name)):
                found.setdefault((claim.rule.name, claim.key), claim)
    return list(found.values())


def _row(counter: Counter, claim: Claim) -> dict[str, Any]:
    rule = claim.rule
    row = {
        "name": rule.name,
        "allow": rule.allowance.text,
        "unit": rule.unit,
        "for": f"{rule.whom}:{rule.who}" if rule.who else rule.whom,
        "route": rule.route,
        "model": claim.key.rpartition("|")[2] if rule.model == EACH else rule.model,
        "strategy": "" if rule.allowance.form == AT_ONCE else rule.strategy,
        "when_store_fails": rule.when_store_fails,
        "from": rule.source,
    }
    return row | _state(counter, claim)


def _state(counter: Counter, claim: Claim) -> dict[str, Any]:
    """Return what is left and the seconds until more is, where nothing is."""
    allowance = claim.rule.allowance
    if allowance.form == AT_ONCE:
        return {"left": allowance.amount - counter.slots.used(claim.key, allowance.amount)}
    if claim.key.endswith(f"|{_EVERY}"):
        return {"left": None}
    try:
        outcome = counter.counting.look(counter.counting.bind(claim), 1)
    except (StoreFails, StorageError) as error:
        raise click.ClickException(f"the counters cannot be asked ({error})") from None
    if outcome is None:
        raise click.ClickException("the counters cannot be asked")
    if allowance.calendar:
        outcome = in_month(outcome, counter.host.now())
    state: dict[str, Any] = {"left": outcome.left}
    return state if outcome.allowed else state | {"retry_after": retry_after(outcome.wait)}


def _page(answer: dict[str, Any]) -> str:
    head = f"{answer['client']}, tier {answer['tier']}"
    if answer["banned_seconds"]:
        head += f": BANNED for {answer['banned_seconds']} s"
    lines = [head]
    for row in answer["limits"]:
        about = [row["unit"]] * (row["unit"] != REQUESTS)
        about += [f"of {row['model']}"] * bool(row["model"]) + [row["route"]] * bool(row["route"])
        left = "each by itself" if row["left"] is None else f"{row['left']} left"
        if "retry_after" in row:
            left += f", more in {row['retry_after']} s"
        lines.append(
            f"  {row['name']:<20} {row['for']}: {row['allow']} {' '.join(about)}".rstrip()
            + f" | {left} | {row['from']}"
        )
    return "\n".join(lines)


@click.group()
def bans() -> None:
    """List and lift bans."""


@bans.command("list")
@click.option("--past", is_flag=True, help="Also those that are over and still count.")
@output.json_option
@_at_counter
def list_bans(counter: Counter, past: bool, as_json: bool) -> None:
    """Show who is banned, until when and by which limit."""
    rows = [_public(ban, counter.host.now) for ban in counter.bans.list(past=past)]
    lines = [
        f"{row['subject']}  level {row['level']}  until {row['until']}  {row['limit']}"
        for row in rows
    ]
    output.emit(rows, as_json, "\n".join(lines) or "nobody is banned")


@bans.command()
@click.argument("subject", metavar="SUBJECT")
@output.json_option
@_at_counter
def lift(counter: Counter, subject: str, as_json: bool) -> None:
    """Let someone in again: client:NAME or address:ADDRESS, from the next request on."""
    kind, _, who = subject.partition(":")
    if kind == ADDRESS:
        subject = f"{kind}:{address_key(who.partition('/')[0])}"
    if not any(ban.subject == subject for ban in counter.bans.list(past=True)):
        raise click.ClickException(
            f"{subject!r} is not banned; see `secureml rate-limit bans list`"
        )
    whom = who if kind == CLIENT else ""
    # Told before it is called done: a change whose record cannot be written fails.
    counter.bans.lift(subject)
    counter.host.emit(Event("excess_rate_limit_ban_lifted", whom, {"subject": subject}))
    bound = counter.backoff.bound(subject)
    if bound is not None:
        try:
            counter.counting.clear(bound)
        except StorageError as error:
            raise click.ClickException(f"lifted, but its refusals still count ({error})") from None
    output.emit({"lifted": subject}, as_json, f"{subject} is let in again")


def _public(ban: Ban, now: Callable[[], float]) -> dict[str, Any]:
    return {
        "subject": ban.subject,
        "level": ban.level,
        "since": _time(ban.since),
        "until": _time(ban.until),
        "seconds_left": max(0, round(ban.until - now())),
        "limit": ban.reason,
    }


def _time(seconds: float) -> str:
    found = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return found.replace("+00:00", "Z")
