"""Whatever is told stands in docs/events.md, with its facts, and nothing else does."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

from plugins.audit_log import chain_types, record, verify
from plugins.theft_guard.escalation import ACTIONS, FLAG

CHECKOUT = Path(__file__).resolve().parents[2]
EMITTERS = frozenset({"add_event", "Event", "emit", "told", "emit_event", "_record"})
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")
# Emitted with a name that is put together.
THEFT = {f"model_theft_{level}" for level in (FLAG, *ACTIONS, "cleared")}
# Helpers that add facts: of the commands of models, and of what Gunicorn is told.
ADDED = {"emit_event": {"model", "version"}, "_record": {"pid"}}


class Emission(NamedTuple):
    """One place in the source that tells an event; facts are those written there."""

    name: str
    facts: frozenset[str]
    whole: bool


def names_in(node: ast.expr, constants: dict[str, str]) -> list[str]:
    """Return the names that an expression may come to."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return names_in(node.body, constants) + names_in(node.orelse, constants)
    if isinstance(node, ast.Name) and node.id in constants:
        return [constants[node.id]]
    return []


def emissions_of(call: ast.Call, constants: dict[str, str]) -> list[Emission]:
    """Return what a call tells, if it does."""
    function = call.func
    word = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    # A helper of the models' commands has the context for its first argument.
    given = [name for arg in call.args[:2] for name in names_in(arg, constants)]
    names = [name for name in given if NAME.fullmatch(name)]
    if word not in EMITTERS or not names:
        return []
    facts = {each.arg for each in call.keywords if each.arg not in (None, "client")}
    whole = all(each.arg is not None for each in call.keywords)
    if isinstance(function, ast.Name):
        facts |= ADDED.get(word, set())
    if word == "Event" and len(call.args) > 2:
        table = call.args[2]
        whole = isinstance(table, ast.Dict)
        if isinstance(table, ast.Dict):
            facts |= {key.value for key in table.keys if isinstance(key, ast.Constant)}
    return [Emission(name, frozenset(facts), whole) for name in names]


@cache
def emissions() -> tuple[Emission, ...]:
    """Return every place that tells something."""
    found = []
    for folder in ("secureml", "plugins", "deploy"):
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            constants = {
                target.id: node.value.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
                for target in node.targets
                if isinstance(target, ast.Name) and target.id.isupper()
            }
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
            found += [one for call in calls for one in emissions_of(call, constants)]
    return tuple(found)


@cache
def page() -> tuple[dict[str, set[str]], set[str]]:
    """Return the facts of each event on the page, and the events of the audit log alone."""
    text = (CHECKOUT / "docs/events.md").read_text("utf-8")
    shared, alone = text.split("## In the audit log only")
    facts: defaultdict[str, set[str]] = defaultdict(set)
    for line in shared.splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        if line.startswith("| `"):
            for name in re.findall(r"`(\w+)`", cells[0]):
                facts[name] |= set(re.findall(r"`(\w+)`", cells[3]))
    rows = [line.split(" | ")[0] for line in alone.splitlines() if line.startswith("| `")]
    return dict(facts), {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_source_tells_what_it_is_known_to_tell():
    """A search that finds nothing proves nothing."""
    names = {one.name for one in emissions()}
    assert {"authn_token_reuse", "user_disabled", "model_chosen", "authn_login_fail_max"} <= names


def test_every_event_that_is_told_stands_on_the_page_and_no_other():
    names = {one.name for one in emissions()} | THEFT
    assert sorted(names - set(page()[0])) == [], "add to docs/events.md"
    assert sorted(set(page()[0]) - names) == [], "docs/events.md knows what nobody tells"


def test_every_fact_that_is_told_stands_beside_its_event():
    facts = page()[0]
    missing = {one.name: sorted(one.facts - facts[one.name]) for one in emissions()}
    assert {name: words for name, words in missing.items() if words} == {}


def test_no_fact_stands_there_that_nobody_tells():
    written: defaultdict[str, set[str]] = defaultdict(set)
    open_ended = {one.name for one in emissions() if not one.whole}
    for one in emissions():
        written[one.name] |= one.facts
    for name, facts in page()[0].items():
        if name not in open_ended and name not in THEFT:
            assert facts == written[name], name


def test_the_events_of_the_audit_log_alone_are_those_it_writes():
    own = {
        chain_types.OPENED,
        chain_types.CLOSED,
        chain_types.TORN,
        chain_types.TRUNCATED,
        verify.PRUNED,
    }
    own |= {chain_types.HEAD_LOST, chain_types.TAIL_LOST, chain_types.STARTED}
    by_status = {record.name_of(status) for status in range(200, 600)}
    assert page()[1] == own | by_status
