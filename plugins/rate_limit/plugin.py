"""Rate limits: how much of the service one caller may have, exact over all workers.

Runs in ADMIT (addresses, before any credential is checked), in LIMIT (callers), in VALIDATE
(rows, before they are read), in RESPOND (headers) and in RECORD. Limits are hit before the work.
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

from .concurrency import ConcurrencyLimiter
from .enforcer import (
    BANNED,
    CONCURRENCY_EXCEEDED,
    COST_TOO_LARGE,
    RATE_EXCEEDED,
    Enforcer,
    LimitExceeded,
    RequestState,
)
from .failure_cache import FailureCache
from .fallback import REFUSE, FallbackLimiter, StorageUnavailable
from .headers import ratelimit, ratelimit_policy, retry_after
from .penalty import BanList, BanPolicy, Penalty
from .rule_config import ban_rule, build_rules
from .rules import ADDRESS, EACH_MODEL, EVERYONE, RequestFacts, Rule, address_key, apply_rule
from .settings import Config
from .storage import LimiterRegistry, storage_configs

if TYPE_CHECKING:
    from collections.abc import Callable

    import click
    from flask import Flask
    from werkzeug.datastructures import Headers

log = logging.getLogger("secureml.rate_limit")
_CODES = {
    COST_TOO_LARGE: "rate_limit.too_large",
    CONCURRENCY_EXCEEDED: "rate_limit.busy",
    BANNED: "rate_limit.banned",
}


class RateLimit(Plugin):
    """Enforces limits, sends the rate limit headers, and bans callers who ignore refusals."""

    name = "rate_limit"
    concern = "rate_limit"
    aliases = ("limits",)
    schema = Config
    # Rows are counted before they are read: else rows that are refused would cost nothing.
    runs_before = ("input_rules", "theft_guard")
    problems = (
        Kind("rate_limit.busy", 503, "Too many requests are in progress"),
        Kind("rate_limit.banned", 429, "Banned after too many refused requests"),
        Kind("rate_limit.too_large", 422, "The request is larger than its limit ever allows"),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._host, self._now = host, host.now
        self.rules = build_rules(config)
        self._costs = {table["model"]: table["weight"] for table in config["costs"]}
        refusals = ban_rule(config["ban_after"])
        counted = [rule for rule in self.rules if rule.allowance.notation]
        counted += [refusals] if refusals else []
        self._registry = LimiterRegistry(counted, *storage_configs(config, host), _key_function)
        self._limiter = FallbackLimiter(self._registry, config["degrade_divisor"], host.now)
        counters = config["counters"]
        self._concurrency = ConcurrencyLimiter(host.instance / f"{counters}.concurrency")
        # This machine's memory cannot know what other hosts count in a Redis.
        failures = None if config["redis"] else host.instance / f"{counters}.failures"
        cache = FailureCache(failures, time.monotonic)
        self._enforcer = Enforcer(self.rules, self._limiter, self._concurrency, cache, host.now)
        policy = BanPolicy(config["ban_initial"], config["ban_max"], config["ban_reset"])
        self._bans = BanList(host.store, host.now, policy)
        self._penalty = Penalty(self._bans, self._limiter, refusals, host.now, StoreUnavailable)
        exempt = [ip_network(network) for network in config["exempt_networks"]]
        self._address_key = lru_cache(4096)(lambda text: address_key(text, exempt))

    # -- phases before the view ----------------------------------------------------------------

    def admit(self, exchange: Exchange) -> None:
        """Refuse an address that is banned, failed too often or exceeds a limit."""
        policy = exchange.policy
        # Only the core's own health checks: behind other public routes are passwords, forms and
        # slow hashes.
        exempt = exchange.known and policy is not None and policy.health
        state = RequestState(self._address_key(exchange.client_address), exempt)
        exchange.state[self.name] = state
        known = (state.address, "", "", self._model(exchange))
        plan = self._enforcer.plan(_facts(exchange, *known), authenticated=False)
        state.rows, state.failures = plan.rows, plan.failures
        try:
            if state.address and not exempt:
                self._refuse_banned(f"{ADDRESS}:{state.address}")
            self._enforcer.acquire(state, plan.concurrency)
            self._enforcer.check_failures(state)
            self._enforcer.charge(state, plan.requests, self._cost(exchange))
        except (LimitExceeded, StorageUnavailable) as refusal:
            raise self._problem(exchange, refusal) from None

    def limit(self, exchange: Exchange) -> None:
        """Refuse a caller who is banned or exceeds a limit."""
        state = exchange.state.get(self.name) or RequestState()
        principal = exchange.principal
        client, tier = (principal.client, principal.tier) if principal else ("", "")
        # Not the address: its limits were hit before, and plans are shared by callers.
        facts = _facts(exchange, "", client, tier, self._model(exchange))
        plan = self._enforcer.plan(facts, authenticated=True)
        state.rows += plan.rows
        try:
            if client:
                self._refuse_banned(f"client:{client}")
            self._enforcer.acquire(state, plan.concurrency)
            self._enforcer.charge(state, plan.requests, self._cost(exchange))
        except (LimitExceeded, StorageUnavailable) as refusal:
            raise self._problem(exchange, refusal) from None

    def validate(self, exchange: Exchange) -> None:
        """Hit the limits in rows, before the rows are read."""
        state: RequestState | None = exchange.state.get(self.name)
        if state is None or not state.rows or exchange.payload is None:
            return
        instances = exchange.payload.get("instances")
        rows = exchange.row_count or (len(instances) if isinstance(instances, list) else 0)
        if rows == 0:
            return  # a request without rows is refused by the next plugin
        cost = rows * self._cost(exchange)
        try:
            self._enforcer.charge(state, state.rows, cost)
        except (LimitExceeded, StorageUnavailable) as refusal:
            raise self._problem(exchange, refusal) from None

    def _model(self, exchange: Exchange) -> str:
        name = exchange.model_name
        # A caller may invent names; each would be a counter.
        return name if name and self._host.models.get(name) is not None else ""

    def _cost(self, exchange: Exchange) -> int:
        cost = exchange.policy.cost if exchange.policy is not None else 1
        return cost * self._costs.get(exchange.model_name, 1) if self._costs else cost

    def _refuse_banned(self, subject: str) -> None:
        seconds = self._penalty.seconds_left(subject)
        if seconds > 0:
            raise LimitExceeded(BANNED, None, subject, seconds)

    # -- refusals --------------------------------------------------------------------------------

    def _problem(self, exchange: Exchange, refusal: LimitExceeded | StorageUnavailable) -> Problem:
        if isinstance(refusal, StorageUnavailable):
            name = refusal.rule.name
            exchange.add_event("sys_rate_limit_store_failed", limit=name, handling=REFUSE)
            headers = {"Retry-After": "1"}
            return Problem("unavailable", reason="rate_limit.store", headers=headers)
        name = refusal.rule.name if refusal.rule else "banned"
        wait, code = refusal.retry_after, _CODES.get(refusal.cause, "rate_limited")
        if refusal.cause == COST_TOO_LARGE:
            return Problem(code, reason=f"rate_limit.{name}")
        own = refusal.rule is not None and refusal.rule.target != EVERYONE
        if refusal.cause == CONCURRENCY_EXCEEDED and own:
            code = "rate_limited"  # this caller has too many requests open; the server has room
        if refusal.cause == RATE_EXCEEDED and refusal.rule:
            wait = max(wait, self._count_refusal(exchange, refusal.subject, refusal.rule))
        exchange.add_event("excess_rate_limit_exceeded", subject=refusal.subject, limit=name)
        headers = {"Retry-After": str(retry_after(wait))}
        return Problem(code, reason=f"rate_limit.{name}", headers=headers)

    def _count_refusal(self, exchange: Exchange, subject: str, rule: Rule) -> float:
        """Count a refusal; return the seconds of the ban it brought, else 0."""
        ban = self._penalty.count_refusal(subject, rule)
        if ban is None:
            return 0.0
        seconds = ban.until - ban.since
        exchange.add_event(
            "excess_rate_limit_banned", subject=subject, level=ban.level, seconds=seconds
        )
        return seconds

    # -- phases after the view -------------------------------------------------------------------

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Send the rate limit headers; of a refusal, the limits that were exceeded."""
        state: RequestState | None = exchange.state.get(self.name)
        if state is None:
            return
        results = state.exceeded or state.passed
        if results:
            rules = [rule for rule, _ in state.passed] + [rule for rule, _ in state.exceeded]
            headers["RateLimit-Policy"] = ratelimit_policy(rules)
            headers["RateLimit"] = ratelimit(results)

    def record(self, exchange: Exchange) -> None:
        """Release concurrency permits, and count a failed authentication."""
        state: RequestState | None = exchange.state.pop(self.name, None)
        if state is None:
            return
        self._enforcer.release(state)
        if exchange.status == 401:
            self._enforcer.count_failure(state)
        if state.storage_failed and exchange.problem is None:
            exchange.add_event("sys_rate_limit_store_failed", limit=state.storage_failed)

    # -- extras ----------------------------------------------------------------------------------

    def check_routes(self, routes: frozenset[str]) -> None:
        """Refuse a limit on a route that does not exist: it would limit nothing."""
        for rule in self.rules:
            if rule.route and rule.route not in routes:
                near = get_close_matches(rule.route, sorted(routes), n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise ConfigError(
                    f"the limit {rule.name!r} is on {rule.route!r}, which is not a route",
                    key="limits",
                    fix=f"{hint}`secureml routes` shows the routes",
                )
            if rule.model not in ("", EACH_MODEL) and rule.model not in self._host.models.names():
                log.warning(
                    "the limit %r is on %r, which is not an installed model", rule.name, rule.model
                )

    def ready(self) -> str | None:
        """Return ``rate_limit_store`` when the storage fails and a limit refuses then."""
        refuses = any(rule.on_storage_failure == REFUSE for rule in self.rules)
        return "rate_limit_store" if refuses and self._limiter.is_failing() else None

    def measures(self) -> list[Measure]:
        """Return whether each limit has its storage, and how many callers are banned."""
        failing = float(self._limiter.is_failing())
        found = [
            Measure(
                "rate_limit_store_failing",
                failing,
                "1 while the storage of a limit fails; handling says what the limit does then.",
                {"limit": rule.name, "handling": rule.on_storage_failure},
            )
            for rule in self.rules
        ]
        bans = Measure("rate_limit_bans", len(self._bans.list()), "Callers that are banned now.")
        return [*found, bans]

    def blueprint(self) -> Blueprint:
        """Return a blueprint without routes, by which Flask-Limiter gets to know the app."""
        views = Blueprint("rate_limit", __name__)
        views.record_once(lambda state: self._registry.attach(cast("Flask", state.app)))
        return views

    def commands(self) -> click.Group:
        """Return `secureml rate-limit ...`."""
        from .cli import CommandContext, group

        return group(
            CommandContext(
                self._host, self.rules, self._limiter, self._concurrency, self._bans, self._penalty
            )
        )

    def close(self) -> None:
        """Close the files."""
        self._registry.close()
        self._concurrency.close()


def _facts(exchange: Exchange, *known: str) -> RequestFacts:
    address, client, tier, model = known
    shared = exchange.policy.limited_as if exchange.policy is not None else ""
    return RequestFacts(address, client, tier, exchange.route, model, shared)


def _key_function(rule: Rule) -> Callable[[], str]:
    """Return what tells Flask-Limiter under which key a rule counts the current request."""

    def key() -> str:
        exchange: Exchange = g.exchange
        who = exchange.principal
        client, tier = (who.client, who.tier) if who else ("", "")
        known = (exchange.client_address, client, tier, exchange.model_name)
        return apply_rule(rule, _facts(exchange, *known)).key

    return key
