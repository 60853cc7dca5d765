"""Every `secureml ...` that a page, a message, a unit or a script names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from secureml.cli.main import CommandContext, secureml

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [
    CHECKOUT / "README.md",
    *sorted(CHECKOUT.glob("docs/**/*.md")),
    *sorted(CHECKOUT.glob("plugins/*/README.md")),
    # By name: a clone in which the server was tried has databases and settings beside these.
    CHECKOUT / "instance" / "README.md",
    CHECKOUT / "instance" / "secureml.example.toml",
]
SOURCES = sorted([*CHECKOUT.glob("secureml/**/*.py"), *CHECKOUT.glob("plugins/**/*.py")])
OTHER_SUBJECTS = [
    path
    for folder in ("deploy", "script")
    for path in sorted((CHECKOUT / folder).rglob("*"))
    if path.is_file() and path.suffix != ".pyc"
]
SPAN = re.compile(r"`+(secureml [^`]+)`+")
# Where a shell would take the word for a command.
LINE = re.compile(
    r"(?:^|[$&;|] |-- |sudo -u \w+ |bin/|PYTHONPATH=\S+ )(secureml [a-z-][^&;#\n]*)", re.MULTILINE
)
# In a message a command stands among words, which are no part of it.
MESSAGE = re.compile(
    r"(?<![\w./-])(secureml (?!if=)[a-z][a-z0-9-]*(?: [a-z][a-z0-9-]*| --[a-z-]+| [A-Z]+)*)"
)
# Written for the reader to fill in: names, files, choices, the end of a sentence.
FREE = re.compile(r"[^a-z-].*|.*[^a-z0-9-].*")
EVERYWHERE = {"--json", "--instance", "--help", "-h", "--version"}


@cache
def context() -> click.Context:
    """Return the root where there is no instance: all of ours is known there."""
    # With the settings of the command: its option of help is made once, by the first context.
    nowhere = CommandContext(str(CHECKOUT / "tests" / "nowhere"))
    return click.Context(secureml, obj=nowhere, **secureml.context_settings)


@cache
def found_at(group: click.Group, word: str) -> click.Command | None:
    return group.get_command(context(), word)


def faults(line: str, start: click.Group = secureml) -> str:
    """Say what is wrong with a command as it is written, "" if nothing is."""
    node: click.Command = start
    for word in line.replace("\\|", "|").split():
        word = word.strip("[],.;:()'\"")  # noqa: PLW2901 - the marks around it say nothing
        if not word:
            return ""
        if word.startswith("-"):
            option = word.partition("=")[0]
            known = {
                name for param in node.get_params(context()) for name in param.opts
            } | EVERYWHERE
            if option not in known and re.fullmatch(r"--?[a-z-]+", option):
                return f"{node.name} has no {option}"
        elif isinstance(node, click.Group) and word == "|":
            return ""  # the others are looked at one by one
        elif isinstance(node, click.Group):
            if FREE.fullmatch(word):
                return ""
            inner = found_at(node, word)
            if inner is None:
                return f"{node.name} has no {word!r}"
            node = inner
    return ""


def choices(line: str) -> Iterator[str]:
    """Yield a line once for each of its choices: `audit-log verify | show` is two commands."""
    head, *more = [part.strip() for part in re.split(r"\\?\|", line)]
    yield head
    stem = head.split()
    for each in more:
        if re.fullmatch(r"[a-z][a-z -]*", each):
            yield " ".join([*stem[: max(len(stem) - 1, 1)], each])


def in_markdown(text: str) -> Iterator[str]:
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    prose = re.sub(r"```\w*\n.*?```", "", text, flags=re.DOTALL)
    for span in SPAN.findall(prose):
        yield from choices(span)
    for block in blocks:
        yield from LINE.findall(block)


def strings(tree: ast.AST) -> Iterator[str]:
    """Yield every text of a source, with a placeholder for what is put in."""
    parts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(value) for value in node.values}
            yield "".join(
                value.value if isinstance(value, ast.Constant) else "X" for value in node.values
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def in_source(text: str) -> Iterator[str]:
    for words in strings(ast.parse(text)):
        for span in SPAN.findall(words):
            yield from choices(span)
        # A sentence goes on behind a command: only its first words are looked at.
        for line in MESSAGE.findall(SPAN.sub("", re.sub(r"(?:from|import) secureml", "", words))):
            yield " ".join(_command_of(line))


def _command_of(line: str) -> list[str]:
    node: click.Command = secureml
    kept = ["secureml"]
    for word in line.split()[1:]:
        if not isinstance(node, click.Group) and not word.startswith("--"):
            break
        kept.append(word)
        if isinstance(node, click.Group):
            node = found_at(node, word) or click.Command("")
    return kept


def wrong(lines: Iterator[str]) -> list[str]:
    found = []
    for line in lines:
        what = faults(line.removeprefix("secureml "))
        found += [f"{line}: {what}"] * bool(what)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_page_names_only_commands_that_exist(page: Path) -> None:
    assert wrong(in_markdown(page.read_text("utf-8"))) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_message_names_only_commands_that_exist(source: Path) -> None:
    assert wrong(in_source(source.read_text("utf-8"))) == []


@pytest.mark.parametrize("file", OTHER_SUBJECTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_unit_or_a_script_names_only_commands_that_exist(file: Path) -> None:
    text = file.read_text("utf-8")
    assert wrong(iter([*LINE.findall(text), *SPAN.findall(text)])) == []


def test_each_further_word_of_the_events_page_is_a_command_beside_the_first() -> None:
    """`secureml models seal`, `use`, `rollback` are three."""
    wrong_words = []
    for line in (CHECKOUT / "docs" / "events.md").read_text("utf-8").splitlines():
        cells = line.split(" | ")
        if not line.startswith("| `") or len(cells) < 2:
            continue
        groups: list[click.Group] = []
        for span in re.findall(r"`([^`]+)`", cells[1]):
            if span.startswith("secureml "):
                node: click.Command = secureml
                groups = []
                for word in span.split()[1:]:
                    if isinstance(node, click.Group):
                        groups.append(node)
                        node = found_at(node, word) or click.Command("")
            elif groups and all(faults(span, group) for group in groups):
                wrong_words.append(f"{cells[0]}: {span}")
    assert wrong_words == []


@pytest.mark.parametrize(
    "line",
    [
        "modles list",
        "rate-limit lift",
        "models seal FILE --nme x",
        "api-keys isue acme",
        "limits x",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    """A search that finds nothing proves nothing."""
    assert faults(line)
    assert wrong(in_markdown(f"Run `secureml {line}` first."))
    assert wrong(in_markdown(f"```\nrunuser -u x -- secureml {line}\n```"))
    assert wrong(in_source(f'raise ValueError("run `secureml {line}`")'))


def test_enough_commands_are_found_to_mean_something() -> None:
    said = [line for page in PAGES for line in in_markdown(page.read_text("utf-8"))]
    emitted = [line for source in SOURCES for line in in_source(source.read_text("utf-8"))]
    assert len(said) > 100
    assert len(emitted) > 50
