"""The limits: how much is allowed, for whom, and which limits apply to a request.

An allowance is written like ``1000 per minute``, ``8 at once`` or ``5000 ever``. What `limits`
can count is handed to it in its own notation; only ``at once`` (concurrency), ``ever`` and
``per calendar month`` are added here.

Limits for callers become more specific from ``client`` by ``tier:NAME`` to ``client:NAME``: of
those with the same scope (unit, route, model, and rate or concurrency) the most specific that
match apply, and the others give way. Limits for an address and for everyone always apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from secureml.kit.networks import host_prefix, parse_address

RATE, CONCURRENCY = "rate", "concurrency"
ADDRESS, CLIENT, TIER, EVERYONE = "address", "client", "tier", "everyone"
REQUESTS, ROWS, FAILURES = "requests", "rows", "failures"
EACH_MODEL = "*"
UNKNOWN_ADDRESS = "unknown"
DAY = 86400
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": DAY, "month": 30 * DAY,
            "year": 360 * DAY}  # fmt: skip
_SYNTAX = re.compile(
    r"([1-9][0-9_]{0,15}) (?:(at once)|(ever)|per (calendar month)|"
    r"per (?:([1-9][0-9]{0,4}) )?(second|minute|hour|day|month|year)s?)"
)
_MAX_AMOUNT = 10**12
_MAX_CONCURRENCY = 1024
_SYNTAX_HELP = (
    "write it like 1000 per minute, 10 per 30 seconds, 8 at once, "
    "5000 per calendar month or 5000 ever"
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """``amount`` in ``seconds``; ``notation`` is the same for `limits`, "" for concurrency.

    ``seconds`` is None where nothing ever comes back. ``calendar`` windows end with the month
    (UTC), all others as their strategy says.
    """

    text: str
    amount: int
    kind: str
    notation: str
    seconds: int | None
    calendar: bool = False

    @property
    def durable(self) -> bool:
        """Tell whether it must survive a restart of the machine: a window of a day or more."""
        return self.kind == RATE and (self.seconds is None or self.seconds >= DAY)


def parse_allowance(text: str) -> Allowance:
    """Return what a text allows; raises ValueError."""
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise ValueError(_SYNTAX_HELP)
    amount = int(match[1].replace("_", ""))
    if amount > _MAX_AMOUNT:
        raise ValueError(f"the most that can be counted is {_MAX_AMOUNT}")
    if match[2]:
        if amount > _MAX_CONCURRENCY:
            raise ValueError(f"the most at once is {_MAX_CONCURRENCY}")
        return Allowance(text, amount, CONCURRENCY, "", None)
    if match[3]:
        return Allowance(text, amount, RATE, f"{amount} per 100 year", None)
    if match[4]:
        # Counted under the month's own name, so it need only be kept until that is over.
        return Allowance(text, amount, RATE, f"{amount} per 32 day", 31 * DAY, calendar=True)
    multiple, unit = int(match[5] or 1), match[6]
    notation = f"{amount} per {multiple} {unit}"
    return Allowance(text, amount, RATE, notation, multiple * _SECONDS[unit])


def calendar_month(now: float) -> tuple[str, float]:
    """Return the name of the month (UTC) and the epoch second at which it ends."""
    date = datetime.fromtimestamp(now, UTC)
    following = (date.year + 1, 1) if date.month == 12 else (date.year, date.month + 1)
    return f"{date:%Y-%m}", datetime(*following, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Rule:
    """One configured limit.

    ``target`` is one of ADDRESS, CLIENT, TIER and EVERYONE; ``target_name`` the one client or
    tier it is for, or "". ``source`` says where it is configured.
    """

    name: str
    target: str
    target_name: str
    route: str
    model: str
    unit: str
    allowance: Allowance
    strategy: str
    on_storage_failure: str
    source: str

    @property
    def scope(self) -> tuple[str, str, str, str]:
        """What it limits; among rules of one scope the more specific replace the others."""
        return self.unit, self.route, self.model, self.allowance.kind

    @property
    def specificity(self) -> int:
        """How specific it is among rules for callers: 0 all, 1 a tier, 2 one client."""
        if self.target == TIER:
            return 1
        return 2 if self.target_name else 0

    @property
    def is_per_client(self) -> bool:
        """Tell whether it can only be applied once the caller is known."""
        return self.target in (CLIENT, TIER)


class RequestFacts(NamedTuple):
    """What is known of a request; "" for what is not."""

    address: str = ""
    client: str = ""
    tier: str = ""
    route: str = ""
    model: str = ""
    shared_route: str = ""  # another, whose limits hold as well: `Policy.limited_as`


class AppliedLimit(NamedTuple):
    """A rule that applies to a request, whom it counts, and the key it is counted under."""

    rule: Rule
    identity: str
    key: str

    @property
    def subject(self) -> str:
        """Whom it counts: ``client:acme``, ``address:192.0.2.7``, "" for everyone."""
        if self.rule.target == EVERYONE:
            return ""
        return f"{ADDRESS if self.rule.target == ADDRESS else CLIENT}:{self.identity}"

    def key_at(self, now: float) -> str:
        """Return the key; each calendar month has its own."""
        return f"{self.key}|{calendar_month(now)[0]}" if self.rule.allowance.calendar else self.key


def matching(rules: Sequence[Rule], facts: RequestFacts) -> list[AppliedLimit]:
    """Return the limits that apply to a request, the shortest window first.

    A short window that refuses has then taken nothing from a long one.
    """
    found = [rule for rule in rules if _matches(rule, facts)]
    best: dict[tuple[str, str, str, str], int] = {}
    for rule in found:
        if rule.is_per_client:
            best[rule.scope] = max(best.get(rule.scope, 0), rule.specificity)
    kept = [r for r in found if not r.is_per_client or r.specificity == best[r.scope]]
    return [apply_rule(rule, facts) for rule in sorted(kept, key=_window_length)]


def _window_length(rule: Rule) -> float:
    if rule.allowance.kind == CONCURRENCY:
        return -1.0
    return float("inf") if rule.allowance.seconds is None else rule.allowance.seconds


def _matches(rule: Rule, facts: RequestFacts) -> bool:
    if rule.route and rule.route not in (facts.route, facts.shared_route):
        return False
    if rule.model and (rule.model != facts.model if rule.model != EACH_MODEL else not facts.model):
        return False
    if rule.target == ADDRESS:
        return bool(facts.address)
    if rule.target == EVERYONE:
        return True
    if not facts.client:
        return False
    name = facts.client if rule.target == CLIENT else facts.tier
    return not rule.target_name or rule.target_name == name


def apply_rule(rule: Rule, facts: RequestFacts) -> AppliedLimit:
    """Return a rule as it applies to a request."""
    identity = {ADDRESS: facts.address, EVERYONE: ""}.get(rule.target, facts.client)
    model = facts.model if rule.model == EACH_MODEL else rule.model
    # Names of clients, models and tiers hold no |, and routes come from our own map.
    target = rule.target if rule.target in (ADDRESS, EVERYONE) else CLIENT
    # The strategy too: each keeps its counts in another shape, and an operator may change it.
    key = f"{target}|{identity}|{rule.unit}|{rule.strategy}|{rule.route}|{model}"
    return AppliedLimit(rule, identity, key)


def address_key(text: str, exempt: Iterable[IPv4Network | IPv6Network] = ()) -> str:
    """Return what an address counts as: itself, or its /64, which one subscriber has (RFC 6177).

    "" for one in an ``exempt`` network. No address at all (a socket whose proxy names none) is
    one caller named ``unknown``.
    """
    address = parse_address(text)
    if address is None:
        return UNKNOWN_ADDRESS
    if any(address in network for network in exempt if network.version == address.version):
        return ""
    return host_prefix(text)
