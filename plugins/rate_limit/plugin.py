"""Rate limits: how much of the service one caller may have, exact over all workers.

Stands in ADMIT (addresses, before any credential is looked at), in LIMIT (callers), in
VALIDATE, where the rows of a request are first known and before they are read, in RESPOND and
in RECORD. What is reserved is reserved before the work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, g

from secureml import (
    ConfigError,
    Exchange,
    Host,
    Kind,
    Measure,
    Plugin,
    Problem,
    StoreUnavailable,
)

from .backoff import Backoff
from .bans import Bans, Terms
from .calm import Calm
from .counting import REFUSE, Counting, StoreFails
from .declared import Declared
from .gate import BANNED, BUSY, NEVER, Gate, Refused, Visit
from .making import ban_rule, rules_of
from .policy_fields import policies, retry_after, standing
from .rules import ADDRESS, EACH, EVERYONE, Asker, Rule, address_key, claim_of
from .settings import Config
from .slots import Slots
from .storages import places

if TYPE_CHECKING:
    from collections.abc import Callable

    import click
    from flask import Flask
    from werkzeug.datastructures import Headers

log = logging.getLogger("secureml.rate_limit")
_CODES = {NEVER: "rate_limit.too_much", BUSY: "rate_limit.busy", BANNED: "rate_limit.banned"}


class RateLimit(Plugin):
    """Counts, refuses, tells what is left, and bans who does not listen."""

    name = "rate_limit"
    aliases = ("limits",)
    schema = Config
    # Rows are counted before they are read: else rows that are refused would cost nothing.
    runs_before = ("input_rules", "theft_guard")
    problems = (
        Kind("rate_limit.busy", 503, "Too many requests are being worked on"),
        Kind("rate_limit.banned", 429, "Too many refusals were ignored"),
        Kind("rate_limit.too_much", 422, "The request is larger than its limit ever allows"),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._host, self._now = host, host.now
        self.rules = rules_of(config)
        self._costs = {table["model"]: table["weighs"] for table in config["costs"]}
        refusals = ban_rule(config["ban_after"])
        quick, lasting = places(config, host)
        declared_rules = [rule for rule in self.rules if rule.allowance.notation]
        declared_rules += [refusals] if refusals else []
        self._declared = Declared(declared_rules, quick, lasting, host.now, _caller(self))
        self._counting = Counting(self._declared, config["degraded_share"], host.now)
        self._slots = Slots(host.instance / f"{config['counters']}.slots")
        # Of what other hosts count in a Redis this machine's memory knows nothing.
        words = None if config["redis"] else host.instance / f"{config['counters']}.failures"
        self._gate = Gate(
            self.rules, self._counting, self._slots, Calm(words, time.monotonic), host.now
        )
        terms = Terms(config["ban_first"], config["ban_longest"], config["ban_forget"])
        self._bans = Bans(host.store, host.now, terms)
        self._backoff = Backoff(self._bans, self._counting, refusals, host.now, StoreUnavailable)
        uncounted = [ip_network(network) for network in config["uncounted"]]
        self._address = lru_cache(4096)(lambda text: address_key(text, uncounted))
        self._visits: dict[str, Visit] = {}

    # -- on the way in -----------------------------------------------------------------------

    def admit(self, exchange: Exchange) -> None:
        """Refuse an address that is banned, failed too often or asks too much."""
        policy = exchange.policy
        # The core's own health checks, and nothing else that is public: behind other public
        # routes stand passwords, forms and slow hashes.
        free = exchange.known and policy is not None and policy.health
        visit = Visit(self._address(exchange.client_address), free)
        self._visits[exchange.id] = visit
        asker = Asker(visit.address, "", "", exchange.route, self._model(exchange))
        plan = self._gate.plan(asker, known=False)
        visit.rows, visit.failures = plan.rows, plan.failures
        try:
            if visit.address and not free:
                self._refuse_banned(f"{ADDRESS}:{visit.address}")
            self._gate.enter(visit, plan.at_once)
            self._gate.check_failures(visit)
            self._gate.charge(visit, plan.requests, self._cost(exchange))
        except (Refused, StoreFails) as refused:
            raise self._problem(exchange, refused) from None

    def limit(self, exchange: Exchange) -> None:
        """Refuse a caller who is banned or asks too much."""
        visit = self._visits.get(exchange.id) or Visit()
        principal = exchange.principal
        client, tier = (principal.client, principal.tier) if principal else ("", "")
        # Not the address: what holds for it was taken before, and plans are shared by callers.
        asker = Asker("", client, tier, exchange.route, self._model(exchange))
        plan = self._gate.plan(asker, known=True)
        visit.rows += plan.rows
        try:
            if client:
                self._refuse_banned(f"client:{client}")
            self._gate.enter(visit, plan.at_once)
            self._gate.charge(visit, plan.requests, self._cost(exchange))
        except (Refused, StoreFails) as refused:
            raise self._problem(exchange, refused) from None

    def validate(self, exchange: Exchange) -> None:
        """Take the rows of a request, which are counted here and read after."""
        visit = self._visits.get(exchange.id)
        if visit is None or not visit.rows or exchange.payload is None:
            return
        instances = exchange.payload.get("instances")
        rows = exchange.row_count or (len(instances) if isinstance(instances, list) else 0)
        if rows == 0:
            return  # what has no rows is the next plugin's to refuse
        try:
            self._gate.charge(visit, visit.rows, rows * self._costs.get(exchange.model_name, 1))
        except (Refused, StoreFails) as refused:
            raise self._problem(exchange, refused) from None

    def _model(self, exchange: Exchange) -> str:
        name = exchange.model_name
        # A caller may make names up; each would be a counter.
        return name if name and self._host.models.get(name) is not None else ""

    def _cost(self, exchange: Exchange) -> int:
        cost = exchange.policy.cost if exchange.policy is not None else 1
        return cost * self._costs.get(exchange.model_name, 1) if self._costs else cost

    def _refuse_banned(self, subject: str) -> None:
        left = self._backoff.left(subject)
        if left > 0:
            raise Refused(BANNED, None, subject, left)

    # -- saying no -----------------------------------------------------------------------------

    def _problem(self, exchange: Exchange, error: Refused | StoreFails) -> Problem:
        if isinstance(error, StoreFails):
            exchange.add_event(
                "sys_rate_limit_store_failed", limit=error.rule.name, handling=REFUSE
            )
            headers = {"Retry-After": "1"}
            return Problem("unavailable", reason="rate_limit.store", headers=headers)
        name = error.rule.name if error.rule else error.why
        wait, code = error.wait, _CODES.get(error.why, "rate_limited")
        if error.why == NEVER:
            return Problem(code, reason=f"rate_limit.{name}")
        if error.why == BUSY and error.rule and error.rule.whom != EVERYONE:
            code = "rate_limited"  # it is theirs to send less; the server has room
        if code == "rate_limited" and error.why != BUSY and error.rule:
            wait = max(wait, self._count_refusal(exchange, error.subject, error.rule))
        exchange.add_event("excess_rate_limit_exceeded", subject=error.subject, limit=name)
        headers = {"Retry-After": str(retry_after(wait))}
        return Problem(code, reason=f"rate_limit.{name}", headers=headers)

    def _count_refusal(self, exchange: Exchange, subject: str, rule: Rule) -> float:
        """Count it against the caller; return the seconds of the ban it brought, else 0."""
        ban = self._backoff.refused(subject, rule)
        if ban is None:
            return 0.0
        seconds = ban.until - ban.since
        exchange.add_event(
            "excess_rate_limit_banned", subject=subject, level=ban.level, seconds=seconds
        )
        return seconds

    # -- on the way out --------------------------------------------------------------------------

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Tell what is allowed and what is left of it; of a refusal, what was too much."""
        visit = self._visits.get(exchange.id)
        if visit is None:
            return
        shown = visit.broken or visit.found
        if shown:
            everything = [rule for rule, _ in visit.found] + [rule for rule, _ in visit.broken]
            headers["RateLimit-Policy"] = policies(everything)
            headers["RateLimit"] = standing(shown)

    def record(self, exchange: Exchange) -> None:
        """Give slots back, and count a caller that could not say who it is."""
        visit = self._visits.pop(exchange.id, None)
        if visit is None:
            return
        self._gate.leave(visit)
        if exchange.status == 401:
            self._gate.count_failure(visit)
        if visit.store_failed and exchange.problem is None:
            exchange.add_event("sys_rate_limit_store_failed", limit=visit.store_failed)

    # -- extras ----------------------------------------------------------------------------------

    def check_routes(self, routes: frozenset[str]) -> None:
        """Refuse a limit on a route that is not there: it would be none."""
        for rule in self.rules:
            if rule.route and rule.route not in routes:
                near = get_close_matches(rule.route, sorted(routes), n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise ConfigError(
                    f"the limit {rule.name!r} is on {rule.route!r}, which is no route",
                    key="limits",
                    fix=f"{hint}`secureml routes` shows them",
                )
            if rule.model not in ("", EACH) and rule.model not in self._host.models.names():
                log.warning("the limit %r is on a model that is not here", rule.name)

    def ready(self) -> str | None:
        """Say so when counters cannot be asked and a limit refuses then."""
        refuses = any(rule.when_store_fails == REFUSE for rule in self.rules)
        return "rate_limit_store" if refuses and self._counting.failing() else None

    def measures(self) -> list[Measure]:
        """Return whether each limit has its counters, and how many are banned."""
        failing = float(self._counting.failing())
        found = [
            Measure(
                "rate_limit_store_failing",
                failing,
                "1 while the counters of a limit cannot be asked; handling says what it does then.",
                {"limit": rule.name, "handling": rule.when_store_fails},
            )
            for rule in self.rules
        ]
        bans = Measure("rate_limit_bans", len(self._bans.list()), "Callers that are banned now.")
        return [*found, bans]

    def blueprint(self) -> Blueprint:
        """Return no route: it is how the limits are shown to the app that Flask-Limiter knows."""
        views = Blueprint("rate_limit", __name__)
        views.record_once(lambda state: self._declared.attach(cast("Flask", state.app)))
        return views

    def commands(self) -> click.Group:
        """Return `secureml rate-limit ...`."""
        from .cli import Counter, group

        return group(
            Counter(self._host, self.rules, self._counting, self._slots, self._bans, self._backoff)
        )

    def close(self) -> None:
        """Close the files."""
        self._declared.close()
        self._slots.close()


def _caller(plugin: RateLimit) -> Callable[[Rule], Callable[[], str]]:
    """Return what tells Flask-Limiter under which key a rule counts the request at hand."""

    def of(rule: Rule) -> Callable[[], str]:
        def key() -> str:
            exchange: Exchange = g.exchange
            who = exchange.principal
            asker = Asker(
                exchange.client_address,
                who.client if who else "",
                who.tier if who else "",
                exchange.route,
                exchange.model_name,
            )
            return claim_of(rule, asker).key

        return key

    return of
