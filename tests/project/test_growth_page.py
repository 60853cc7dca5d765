"""Everything that can grow is in docs/threats.md with its bound and an existing test."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
TEST = re.compile(r"`(tests/[\w./]+\.py)(?:::(\w+))?`")


class Row(NamedTuple):
    """One line: what grows, who makes it, where it ends, what happens then, what shows it."""

    what: str
    who: str
    end: str
    then: str
    shown: str


@cache
def sections() -> dict[str, tuple[Row, ...]]:
    """Return the rows of each table by the heading above it."""
    page = (CHECKOUT / "docs" / "threats.md").read_text("utf-8")
    _, _, part = page.partition("## What can grow, and where it ends")
    found = {}
    for section in part.split("\n### ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        found[section.splitlines()[0]] = tuple(Row(*each) for each in cells)
    return found


def rows() -> list[Row]:
    return [row for section in sections().values() for row in section]


def tables() -> set[str]:
    """Return the name of every table that the source defines."""
    found = set()
    for folder in ("secureml", "plugins"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "sa.Table":
                    assert isinstance(node.args[0], ast.Constant), path
                    found.add(node.args[0].value)
    return found


def test_every_table_of_the_store_has_its_line_and_no_other():
    """A table that was added must say where it ends."""
    named = [
        name for row in sections()["In the store"] for name in re.findall(r"`(\w+)`", row.what)
    ]
    assert len(tables()) > 20
    assert sorted(tables() - set(named)) == [], "add to docs/threats.md: What can grow"
    assert sorted(named) == sorted(tables())


def test_whatever_somebody_else_can_make_grow_ends_somewhere():
    for row in rows():
        if not row.who.startswith(("no caller", "the operator")):
            assert row.end, row.what
            assert row.shown or "journal" in row.end, row.what


def test_every_test_that_is_named_is_there():
    named = [found for row in rows() for found in TEST.findall(row.shown)]
    assert len(named) > 30
    for path, name in named:
        text = (CHECKOUT / path).read_text("utf-8")
        assert not name or f"def {name}(" in text, f"{path}::{name}"
