"""Which limits hold for whom, and under which key each is counted.

A rule is one of the operator's tables. Rules for callers become more special from ``client``
by ``tier:NAME`` to ``client:NAME``: of those about the same thing (unit, route, model, and rate
or at once) the most special that fit hold, and the others give way. Rules for an address and
for everyone always hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from .allowance import AT_ONCE, RATE, Allowance, month

ADDRESS, CLIENT, TIER, EVERYONE = "address", "client", "tier", "everyone"
REQUESTS, ROWS, FAILURES = "requests", "rows", "failures"
EACH = "*"
_SPECIAL = {CLIENT: 0, TIER: 1, f"{CLIENT}:": 2}


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit. ``whom`` is a kind, ``who`` the one client or tier it is about, or ""."""

    name: str
    whom: str
    who: str
    route: str
    model: str
    unit: str
    allowance: Allowance
    strategy: str
    when_store_fails: str
    source: str

    @property
    def topic(self) -> tuple[str, str, str, str]:
        """What it is about; among rules of one topic the special ones win."""
        return self.unit, self.route, self.model, self.allowance.form

    @property
    def special(self) -> int:
        """How special it is among rules for callers."""
        return _SPECIAL[f"{CLIENT}:" if self.whom == CLIENT and self.who else self.whom]

    @property
    def for_callers(self) -> bool:
        """Tell whether it needs to know who calls."""
        return self.whom in (CLIENT, TIER)

    @property
    def sentence(self) -> str:
        """How it reads."""
        whom = f"{self.whom}:{self.who}" if self.who else self.whom
        words = [f"{whom}: {self.allowance.text}"]
        words += [f"({self.unit})"] * (self.allowance.form == RATE)
        words += [f"of {self.model}"] * bool(self.model) + [f"on {self.route}"] * bool(self.route)
        return " ".join(words)


class Asker(NamedTuple):
    """What is known of a request; "" for what is not."""

    address: str = ""
    client: str = ""
    tier: str = ""
    route: str = ""
    model: str = ""


class Claim(NamedTuple):
    """A rule that holds for an asker, and the key it is counted under."""

    rule: Rule
    subject: str
    key: str

    def key_at(self, now: float) -> str:
        """Return the key; a calendar month has its own."""
        return f"{self.key}|{month(now)[0]}" if self.rule.allowance.calendar else self.key


def holding(rules: Sequence[Rule], asker: Asker) -> list[Claim]:
    """Return the rules that hold for an asker, the shortest window first.

    A short window that refuses has then taken nothing from a long one.
    """
    found = [rule for rule in rules if _fits(rule, asker)]
    best: dict[tuple[str, str, str, str], int] = {}
    for rule in found:
        if rule.for_callers:
            best[rule.topic] = max(best.get(rule.topic, 0), rule.special)
    kept = [rule for rule in found if not rule.for_callers or rule.special == best[rule.topic]]
    return [claim_of(rule, asker) for rule in sorted(kept, key=_length)]


def _length(rule: Rule) -> float:
    if rule.allowance.form == AT_ONCE:
        return -1.0
    return float("inf") if rule.allowance.seconds is None else rule.allowance.seconds


def _fits(rule: Rule, asker: Asker) -> bool:
    if rule.route and rule.route != asker.route:
        return False
    if rule.model and (rule.model != asker.model if rule.model != EACH else not asker.model):
        return False
    if rule.whom == ADDRESS:
        return bool(asker.address)
    if rule.whom == EVERYONE:
        return True
    if not asker.client:
        return False
    return not rule.who or rule.who == (asker.client if rule.whom == CLIENT else asker.tier)


def claim_of(rule: Rule, asker: Asker) -> Claim:
    """Return the claim of an asker under a rule."""
    subject = {ADDRESS: asker.address, EVERYONE: ""}.get(rule.whom, asker.client)
    model = asker.model if rule.model == EACH else rule.model
    # Names of clients, models and tiers hold no |, and routes come from our own map.
    whom = ADDRESS if rule.whom == ADDRESS else EVERYONE if rule.whom == EVERYONE else CLIENT
    # The strategy too: each keeps its counters in another shape, and an operator may change it.
    key = f"{whom}|{subject}|{rule.unit}|{rule.strategy}|{rule.route}|{model}"
    return Claim(rule, subject, key)


Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"


def address_key(text: str, uncounted: Iterable[Network] = ()) -> str:
    """Return what an address counts as: itself, or its /64, which one subscriber has (RFC 6177).

    "" for one that is not counted. No address at all (a socket without a proxy that names it)
    is one caller by the name of ``unknown``.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if any(address in network for network in uncounted if network.version == address.version):
        return ""
    if address.version == 4:
        return str(address)
    return str(IPv6Network((int(address), 64), strict=False))
