"""One request at the limits: what holds for it, what it takes, and what it gives back.

A reservation is made before the work it is for. When one refuses, the others are looked at as
well, so that the wait which is told is long enough for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf

from .allowance import AT_ONCE, month
from .calm import Calm
from .counting import REFUSE, Bound, Counting, StoreFails
from .rules import ADDRESS, EVERYONE, FAILURES, REQUESTS, ROWS, Asker, Claim, Rule, holding
from .slots import Slot, Slots
from .windows import Outcome

_PLANS = 4096  # names of models and addresses may come from outside, so they are bounded
LIMITED, BUSY, NEVER, BANNED = "limited", "busy", "never", "banned"


class Refused(Exception):
    """A limit says no: which, why, and after how many seconds it may say yes."""

    def __init__(self, why: str, rule: Rule | None, subject: str, wait: float) -> None:
        super().__init__(why)
        self.why, self.rule, self.subject, self.wait = why, rule, subject, wait


@dataclass(frozen=True, slots=True)
class Plan:
    """What holds for an asker, sorted by when it is taken."""

    at_once: tuple[Claim, ...]
    requests: tuple[Bound, ...]
    rows: tuple[Bound, ...]
    failures: tuple[Bound, ...]


@dataclass(slots=True)
class Visit:
    """One request on its way: what it holds and what it was told."""

    address: str = ""
    free: bool = False
    slots: list[Slot] = field(default_factory=list)
    rows: tuple[Bound, ...] = ()
    failures: tuple[Bound, ...] = ()
    found: list[tuple[Rule, Outcome]] = field(default_factory=list)
    broken: list[tuple[Rule, Outcome]] = field(default_factory=list)
    store_failed: str = ""


class Gate:
    """Finds what holds for an asker and takes it."""

    def __init__(
        self,
        rules: Sequence[Rule],
        counting: Counting,
        slots: Slots,
        calm: Calm,
        now: Callable[[], float],
    ) -> None:
        self._counting, self._slots, self._calm, self._now = counting, slots, calm, now
        # Strangers first: what holds for an address, and how many may be inside at all.
        self._first = [rule for rule in rules if _before_credentials(rule)]
        self._then = [rule for rule in rules if not _before_credentials(rule)]
        self._plans: dict[tuple[bool, Asker], Plan] = {}

    def plan(self, asker: Asker, *, known: bool) -> Plan:
        """Return what holds before (``known`` is false) or after it is known who calls."""
        plan = self._plans.get((known, asker))
        if plan is None:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            claims = holding(self._then if known else self._first, asker)
            plan = self._plans[known, asker] = Plan(
                tuple(claim for claim in claims if claim.rule.allowance.form == AT_ONCE),
                *(self._bind(claims, unit) for unit in (REQUESTS, ROWS, FAILURES)),
            )
        return plan

    def _bind(self, claims: Iterable[Claim], unit: str) -> tuple[Bound, ...]:
        return tuple(
            self._counting.bind(claim)
            for claim in claims
            if claim.rule.unit == unit and claim.rule.allowance.form != AT_ONCE
        )

    def enter(self, visit: Visit, claims: Iterable[Claim]) -> None:
        """Take a slot for each claim; raises Refused."""
        for claim in claims:
            if visit.free:
                return  # whether we live must not depend on how busy we are
            try:
                slot = self._slots.take(claim.key, claim.rule.allowance.amount)
            except OSError as error:
                visit.store_failed = claim.rule.name
                if claim.rule.when_store_fails == REFUSE:
                    raise StoreFails(claim.rule) from error
                continue
            if slot is None:
                raise Refused(BUSY, claim.rule, subject_of(claim), 0.0)
            visit.slots.append(slot)

    def check_failures(self, visit: Visit) -> None:
        """Refuse who failed too often; what this one will be is not known yet. Raises Refused."""
        for bound in visit.failures:
            if self._calm.holds(bound.claim.key):
                continue
            word = self._calm.word()
            outcome = self._tolerant(visit, bound, 1, self._counting.look)
            if outcome is None:
                continue
            if not outcome.allowed:
                self._refuse(visit, bound, outcome, ())
            if outcome.left == bound.item.amount:
                self._calm.remember(bound.claim.key, word)

    def charge(self, visit: Visit, bounds: Sequence[Bound], cost: int) -> None:
        """Take ``cost`` from each; raises Refused, or StoreFails."""
        for place, bound in enumerate(bounds):
            if cost > bound.item.amount:
                raise Refused(NEVER, bound.claim.rule, subject_of(bound.claim), inf)
            outcome = self._tolerant(visit, bound, cost, self._counting.reserve)
            if outcome is None:
                continue
            if not outcome.allowed:
                self._refuse(visit, bound, outcome, [(b, cost) for b in bounds[place + 1 :]])
            visit.found.append((bound.claim.rule, outcome))

    def count_failure(self, visit: Visit) -> None:
        """Count a request that came to nothing."""
        for bound in visit.failures:
            self._calm.disturb()
            try:
                self._counting.reserve(bound, 1)
            except StoreFails:
                visit.store_failed = bound.claim.rule.name
            self._calm.disturb()

    def leave(self, visit: Visit) -> None:
        """Give back what is held only while the request lasts."""
        for slot in visit.slots:
            self._slots.give(slot)
        visit.slots.clear()

    def _tolerant(
        self, visit: Visit, bound: Bound, cost: int, ask: Callable[[Bound, int], Outcome | None]
    ) -> Outcome | None:
        try:
            outcome = ask(bound, cost)
        except StoreFails:
            visit.store_failed = bound.claim.rule.name
            if visit.free:
                return None
            raise
        if outcome is None:
            visit.store_failed = bound.claim.rule.name
        elif bound.claim.rule.allowance.calendar:
            outcome = in_month(outcome, self._now())
        return outcome

    def _refuse(
        self, visit: Visit, bound: Bound, outcome: Outcome, more: Iterable[tuple[Bound, int]]
    ) -> None:
        visit.broken.append((bound.claim.rule, outcome))
        # A wait that ends while another limit is still full would be a promise broken.
        for other, cost in [*more, *((row, 1) for row in visit.rows)]:
            try:
                also = self._tolerant(
                    visit, other, min(cost, other.item.amount), self._counting.look
                )
            except StoreFails:
                continue
            if also is not None and not also.allowed:
                visit.broken.append((other.claim.rule, also))
        wait = max(found.wait for _, found in visit.broken)
        raise Refused(LIMITED, bound.claim.rule, subject_of(bound.claim), wait)


def _before_credentials(rule: Rule) -> bool:
    return rule.whom == ADDRESS or (rule.whom == EVERYONE and rule.allowance.form == AT_ONCE)


def subject_of(claim: Claim) -> str:
    """Return whom a claim is about: ``client:acme``, ``address:192.0.2.7``, "" for everyone."""
    if claim.rule.whom == EVERYONE:
        return ""
    return f"{ADDRESS if claim.rule.whom == ADDRESS else 'client'}:{claim.subject}"


def in_month(outcome: Outcome, now: float) -> Outcome:
    """Return an outcome whose window ends with the calendar month."""
    rest = month(now)[1] - now
    return outcome._replace(wait=0.0 if outcome.allowed else rest, window=rest)
