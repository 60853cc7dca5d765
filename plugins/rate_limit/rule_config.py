"""Rules from the tables of the settings; a limit that cannot work stops the start.

It raises `ConfigError`, so it stands on the side of `settings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from secureml import ConfigError

from .fallback import ALLOW, DEGRADE
from .rules import (
    ADDRESS,
    CLIENT,
    CONCURRENCY,
    EVERYONE,
    FAILURES,
    REQUESTS,
    TIER,
    Allowance,
    Rule,
    parse_allowance,
)
from .settings import LimitTable

FIXED, SLIDING = "fixed-window", "sliding-window-counter"

# Far above what one honest caller sends, and there from the first day.
DEFAULTS: tuple[Mapping[str, str], ...] = (
    {"for": ADDRESS, "allow": "300 per minute", "unit": FAILURES, "on_storage_failure": DEGRADE},
    {"for": CLIENT, "allow": "60000 per minute", "unit": REQUESTS, "on_storage_failure": DEGRADE},
)


class _Fault(NamedTuple):
    key: str
    message: str
    fix: str


def build_rules(config: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of a checked table; raises ConfigError."""
    rules = [_rule(table, f"limits.{n}") for n, table in enumerate(config["limits"])]
    configured = {(r.target, r.target_name, r.scope) for r in rules}
    if config["defaults"]:
        made = [_rule(LimitTable().load(dict(table)), "default") for table in DEFAULTS]
        rules += [r for r in made if (r.target, r.target_name, r.scope) not in configured]
    _refuse_duplicates(rules)
    return _named(rules)


def _rule(table: Mapping[str, Any], key: str) -> Rule:
    target, _, name = table["for"].partition(":")
    allowance, unit = table["allow"], table["unit"]
    strategy = table["strategy"] or (FIXED if allowance.durable else SLIDING)
    fault = (
        _target_fault(target, name)
        or _unit_fault(target, unit, allowance.kind)
        or _window_fault(target, allowance, strategy)
    )
    if fault:
        raise ConfigError(fault.message, key=f"{key}.{fault.key}", fix=fault.fix)
    source = "default" if key == "default" else f"[[plugins.rate_limit.limits]] {int(key[7:]) + 1}"
    return Rule(
        table["name"], target, name, table["route"], table["model"], unit, allowance, strategy,
        table["on_storage_failure"], source,
    )  # fmt: skip


def _target_fault(target: str, name: str) -> _Fault | None:
    if target == TIER and not name:
        return _Fault("for", "a limit for a tier must name the tier", 'write for = "tier:NAME"')
    if target in (ADDRESS, EVERYONE) and name:
        return _Fault("for", f"{target!r} must not have a name after it", f'write for = "{target}"')
    return None


def _unit_fault(target: str, unit: str, kind: str) -> _Fault | None:
    if unit == FAILURES and target != ADDRESS:
        message = "failed logins can only be counted by address: the client is not known yet"
        return _Fault("unit", message, 'write for = "address"')
    if kind == CONCURRENCY and unit != REQUESTS:
        message = f"a concurrency limit (at once) counts requests, not {unit}"
        return _Fault("unit", message, "remove unit")
    return None


def _window_fault(target: str, allowance: Allowance, strategy: str) -> _Fault | None:
    if allowance.durable and target == ADDRESS:
        # Strangers choose how many addresses they come from, and durable counts stay.
        message = "a limit by address cannot have a window of a day or more"
        return _Fault("allow", message, "choose a window of some hours at most")
    rolls = allowance.seconds is not None and not allowance.calendar
    if allowance.kind != CONCURRENCY and not rolls and strategy != FIXED:
        message = f"{allowance.text!r} has no rolling window, so {strategy!r} cannot count it"
        return _Fault("strategy", message, f"remove strategy, or write {FIXED!r}")
    return None


def _refuse_duplicates(rules: Sequence[Rule]) -> None:
    seen = set()
    for rule in rules:
        identity = (rule.target, rule.target_name, rule.scope, rule.allowance.notation)
        if identity in seen:
            message = f"the same limit is configured twice ({rule.target}: {rule.allowance.text})"
            raise ConfigError(message, key="limits", fix="remove one of them")
        seen.add(identity)


def _named(rules: Sequence[Rule]) -> list[Rule]:
    """Give each rule the name that clients read; generated names are numbered."""
    taken: dict[str, int] = {}
    found = []
    for rule in rules:
        parts = [rule.target] + [rule.unit] * (rule.unit != REQUESTS)
        parts += ["at-once"] * (rule.allowance.kind == CONCURRENCY)
        name = rule.name or "-".join(parts)
        taken[name] = taken.get(name, 0) + 1
        if rule.name and taken[name] > 1:
            message = f"two limits are named {name!r}"
            raise ConfigError(message, key="limits", fix="rename one of them")
        found.append(replace(rule, name=name if taken[name] == 1 else f"{name}-{taken[name]}"))
    return found


def ban_rule(after: int) -> Rule | None:
    """Return the rule that counts refusals in a minute; None where nobody is banned."""
    if after == 0:
        return None
    allowance = parse_allowance(f"{after} per minute")
    return Rule("refusals", "", "", "", "", "refusals", allowance, FIXED, ALLOW, "ban_after")
