"""From the tables of the settings to rules; a limit that could not hold stops the start.

It knows `ConfigError`, so it stands on the side of `settings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from secureml import ConfigError

from .allowance import AT_ONCE, Allowance, read
from .counting import ALLOW, DEGRADE
from .rules import ADDRESS, CLIENT, EVERYONE, FAILURES, REQUESTS, TIER, Rule
from .settings import LimitTable

FIXED, SLIDING = "fixed-window", "sliding-window-counter"

# Far above what one honest caller sends, and there from the first day.
DEFAULTS: tuple[Mapping[str, str], ...] = (
    {"for": ADDRESS, "allow": "300 per minute", "unit": FAILURES, "when_store_fails": DEGRADE},
    {"for": CLIENT, "allow": "60000 per minute", "unit": REQUESTS, "when_store_fails": DEGRADE},
)


def rules_of(config: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of a checked table; raises ConfigError."""
    rules = [_rule(table, f"limits.{n}") for n, table in enumerate(config["limits"])]
    said = {(r.whom, r.who, r.topic) for r in rules}
    if config["defaults"]:
        made = [_rule(LimitTable().load(dict(words)), "default") for words in DEFAULTS]
        rules += [rule for rule in made if (rule.whom, rule.who, rule.topic) not in said]
    _refuse_twice(rules)
    return _named(rules)


def _rule(table: Mapping[str, Any], key: str) -> Rule:
    whom, _, who = table["for"].partition(":")
    allowance, unit = table["allow"], table["unit"]
    strategy = table["strategy"] or (FIXED if allowance.lasting else SLIDING)
    fault = (
        _fault_of_whom(whom, who)
        or _fault_of_unit(whom, unit, allowance.form)
        or _fault_of_time(whom, allowance, strategy)
    )
    if fault:
        raise ConfigError(fault[0], key=f"{key}.{fault[1]}", fix=fault[2])
    source = "default" if key == "default" else f"[[plugins.rate_limit.limits]] {int(key[7:]) + 1}"
    return Rule(
        table["name"], whom, who, table["route"], table["model"], unit, allowance, strategy,
        table["when_store_fails"], source,
    )  # fmt: skip


_Fault = tuple[str, str, str] | None


def _fault_of_whom(whom: str, who: str) -> _Fault:
    if whom == TIER and not who:
        return "a limit for a tier names it", "for", 'write for = "tier:NAME"'
    if whom in (ADDRESS, EVERYONE) and who:
        return f"{whom} takes no name", "for", f'write for = "{whom}"'
    return None


def _fault_of_unit(whom: str, unit: str, form: str) -> _Fault:
    if unit == FAILURES and whom != ADDRESS:
        return "who fails to say who it is has no name", "unit", 'write for = "address"'
    if form == AT_ONCE and unit != REQUESTS:
        return "what is at once are requests", "unit", "leave unit out"
    return None


def _fault_of_time(whom: str, allowance: Allowance, strategy: str) -> _Fault:
    if allowance.lasting and whom == ADDRESS:
        # Strangers choose how many addresses they come from, and lasting counters stay.
        return "addresses are not remembered for a day", "allow", "count per hour or less"
    ends = allowance.seconds is not None and not allowance.calendar
    if allowance.form != AT_ONCE and not ends and strategy != FIXED:
        return "what ends with the month or never is counted once", "strategy", "leave it out"
    return None


def _refuse_twice(rules: Sequence[Rule]) -> None:
    seen = set()
    for rule in rules:
        mark = (rule.whom, rule.who, rule.topic, rule.allowance.notation)
        if mark in seen:
            raise ConfigError("the same limit stands here twice", key="limits", fix="remove one")
        seen.add(mark)


def _named(rules: Sequence[Rule]) -> list[Rule]:
    """Give each rule the name that clients read; two of one name are numbered."""
    taken: dict[str, int] = {}
    found = []
    for rule in rules:
        words = [rule.whom] + [rule.unit] * (rule.unit != REQUESTS)
        words += ["at-once"] * (rule.allowance.form == AT_ONCE)
        name = rule.name or "-".join(words)
        taken[name] = taken.get(name, 0) + 1
        if rule.name and taken[name] > 1:
            raise ConfigError(f"two limits are named {name!r}", key="limits", fix="rename one")
        found.append(replace(rule, name=name if taken[name] == 1 else f"{name}-{taken[name]}"))
    return found


def ban_rule(after: int) -> Rule | None:
    """Return the rule that counts refusals; None where nobody is banned."""
    if after == 0:
        return None
    return Rule(
        "refusals", "", "", "", "", "refusals", read(f"{after} per minute"), FIXED, ALLOW,
        "ban_after",
    )  # fmt: skip
