"""Every regular expression of the application takes time in proportion to its text.

What strangers send runs through most of them, some before any check: one that is quadratic lets
a single address stop the service with 4 KB. So none is, whatever it runs on.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from linear_patterns import NotLinear, demand_linear

CHECKOUT = Path(__file__).resolve().parents[2]
SEARCHING = ("search", "sub", "subn", "split", "findall", "finditer")
ANCHORED = ("match", "fullmatch")
SOURCES = sorted(p for top in ("secureml", "plugins") for p in (CHECKOUT / top).rglob("*.py"))
NGINX = sorted([CHECKOUT / "nginx.conf", *(CHECKOUT / "deploy").rglob("*.conf")])


class Use(NamedTuple):
    """One expression: where it stands, what it is, and whether it is searched for."""

    place: str
    pattern: str | bytes
    flags: int
    searches: bool


def searched_in(tree):
    """Return the names on which a search is called."""
    return {
        getattr(node.value, "id", getattr(node.value, "attr", ""))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in SEARCHING
    }


@cache
def searched_anywhere():
    """Return the names that one module may search by and another define."""
    found = {name for path in SOURCES for name in searched_in(ast.parse(path.read_text("utf-8")))}
    return {name for name in found if not name.startswith("_")}


def uses_in(path):
    """Return every expression of one module, its pattern evaluated where it stands."""
    tree = ast.parse(path.read_text("utf-8"))
    named = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named[id(node.value)] = node.targets[0].id
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [(call, method_of(call)) for call in calls]
    found = [(call, method) for call, method in found if method]
    if not found:
        return []
    searched = {"", *searched_in(tree), *searched_anywhere()}
    module = importlib.import_module(".".join(path.relative_to(CHECKOUT).with_suffix("").parts))
    made = []
    for call, method in found:
        searches = method in SEARCHING or (
            method == "compile" and named.get(id(call), "") in searched
        )
        place = f"{path.relative_to(CHECKOUT)}:{call.lineno}"
        pattern = evaluated(call.args[0], module)
        flags = [
            arg for arg in (*call.args[1:], *(k.value for k in call.keywords)) if is_flags(arg)
        ]
        bits = sum(int(evaluated(flag, module)) for flag in flags)
        made.append(Use(place, pattern, bits, searches))
    return made


def method_of(call):
    """Return how an expression is used by this call, "" where it is none."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return ""
    owner = getattr(function.value, "id", "")
    if owner == "re" and function.attr in ("compile", *SEARCHING, *ANCHORED):
        return function.attr
    return "match" if function.attr == "Regexp" else ""


def is_flags(node):
    return any(getattr(one, "id", "") == "re" for one in ast.walk(node))


def evaluated(node, module):
    code = compile(ast.fix_missing_locations(ast.Expression(node)), "pattern", "eval")
    return eval(code, {**vars(module)})


def nginx_uses(path):
    """Return every expression of an Nginx file; Nginx searches, as far as they let it."""
    made = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.split("#")[0] if line.lstrip().startswith("#") else line
        for found in re.finditer(r'(?:"|!|\s|location )~\*? ?"?(\^.*?)(?:"|\)\s*\{|\s\{)', text):
            pattern = re.sub(r"\(\?<(\w+)>", r"(?P<\1>", found[1])
            made.append(Use(f"{path.relative_to(CHECKOUT)}:{number}", pattern, 0, searches=True))
    return made


EVERY_USE = [use for path in SOURCES for use in uses_in(path)]
EVERY_USE += [use for path in NGINX for use in nginx_uses(path)]


@pytest.mark.parametrize("use", EVERY_USE, ids=lambda use: use.place)
def test_every_expression_takes_time_in_proportion_to_its_text(use):
    """Fix: plain searches, or repetitions that cannot share a text with their neighbours."""
    demand_linear(use.pattern, use.flags, searches=use.searches)


def test_they_are_all_found():
    """Else the test above would hold whatever is written."""
    assert len([use for use in EVERY_USE if use.place.startswith("nginx.conf")]) >= 9
    assert len(EVERY_USE) > 60
    for path in NGINX:
        expected = [line for line in path.read_text("utf-8").splitlines() if "~^" in line]
        found = {use.place for use in nginx_uses(path)}
        assert len(found) >= len([line for line in expected if not line.lstrip().startswith("#")])


@pytest.mark.parametrize(
    ("pattern", "searches", "piece", "end"),
    [
        (r"(?:^|&)(?:access|refresh)_token=|eyJ[\w-]+\.eyJ", True, "eyJ", ""),
        (r"(a+)+b", False, "a", "!"),
        (r"(a*)*b", False, "a", "!"),
        (r"(a|a)*b", False, "a", "!"),
        (r"(?:a*b?)*c", False, "a", "!"),
        (r"[0-9]+\.?[0-9]*x", False, "1", "!"),
        (r"\s+$", True, " ", "!"),
        (r".*=.*=.*;", False, "=", "!"),
        (r"(?:[a-z]+-?)+!", False, "a", "?"),
        (r"[a-z]{1,999}[a-z]{1,999}!", False, "a", "?"),
    ],
)
def test_what_is_slow_is_refused(pattern, searches, piece, end):
    """Each of these was published as slow, or was ours."""
    with pytest.raises(NotLinear):
        demand_linear(pattern, re.ASCII, searches=searches)


@pytest.mark.parametrize(
    ("pattern", "searches"),
    [
        (r"[a-z]+@[a-z]+\.[a-z]+", False),
        (r"(?:[a-z]+-)*[a-z]+!", False),
        (r"<(?:[^<>:]+:)?(\w+)>", True),
        (r"\A\s+x", True),
        (r"(?:a[bc]{0,9}d)*e", False),
        (r"(?=.{1,253}\Z)[a-z]+", False),
        (r"\\.", True),
    ],
)
def test_what_is_quick_passes(pattern, searches):
    demand_linear(pattern, re.ASCII, searches=searches)


@pytest.mark.parametrize("pattern", [r"(a)\1*", r"(?i)a+", r"(?m)^a"])
def test_what_cannot_be_judged_is_refused(pattern):
    with pytest.raises(NotLinear):
        demand_linear(pattern)


def best_of(pattern, text):
    compiled, found = re.compile(pattern), []
    for _ in range(3):
        begin = time.perf_counter()
        compiled.search(text)
        found.append(time.perf_counter() - begin)
    return min(found)


def test_the_proof_agrees_with_the_clock():
    """The one that was ours: eight times the text took it sixty times as long."""
    slow, quick = r"eyJ[\w-]+\.eyJ", r"<(?:[^<>:]+:)?(\w+)>"
    assert best_of(slow, "eyJ" * 3200) > 16 * best_of(slow, "eyJ" * 400)
    assert best_of(quick, "<a:" * 32000) < 64 * max(best_of(quick, "<a:" * 4000), 1e-4)
