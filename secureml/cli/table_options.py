"""The options of ``secureml models seal`` that say how a table is read, and which rows are."""

from __future__ import annotations

from typing import Any

import click

from secureml.kit.output import Command

_CSV = ("separator", "decimal", "encoding")
_BY_COLUMN = ("types", "missing", "unknown")
_OPTIONS = (
    click.option(
        "--types",
        multiple=True,
        metavar="COLUMN=TYPE,...",
        help=(
            "Types of columns, if the model was fitted with others than pandas reads: integer, "
            "float, boolean, category, categorical (pandas' own), text or date; repeatable."
        ),
    ),
    click.option(
        "--separator",
        help="What separates the cells of a CSV table (comma, semicolon, tab, bar); found out if "
        "not given.",
    ),
    click.option("--decimal", help="Its decimal sign (point, comma); found out if not given."),
    click.option("--encoding", help="Its encoding, such as cp1252; found out if not given."),
    click.option(
        "--missing",
        multiple=True,
        metavar="COLUMN=allow|refuse,...",
        help=(
            "Whether null is read; found out by trying if not given, `*` means every other "
            "column; repeatable."
        ),
    ),
    click.option(
        "--unknown",
        multiple=True,
        metavar="COLUMN=allow|refuse,...",
        help="The same for categories that the table has not; repeatable.",
    ),
)


def table_options(command: Command) -> Command:
    """Add these options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def said_of_table(words: dict[str, Any]) -> dict[str, Any]:
    """Take the values of these options out of a command's, as an `Order` has them."""
    csv = {name: words.pop(name) for name in _CSV}
    found = {name: read_pairs(words.pop(name), f"--{name}") for name in _BY_COLUMN}
    return {**found, "csv": {name: said for name, said in csv.items() if said is not None}}


def read_pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """Return what ``COLUMN=WORD,COLUMN=WORD`` says of each column; a name may hold either sign."""
    found = {}
    for each in given:
        begin = ""
        for part in each.split(","):
            name, sign, word = (begin + part).rpartition("=")
            if not sign:
                begin += f"{part},"  # a name with a comma in it
                continue
            begin = ""
            if not name or not word:
                raise _no_pair(each, option)
            found[name] = word
        if begin:
            raise _no_pair(each, option)
    return found


def _no_pair(given: str, option: str) -> click.BadParameter:
    return click.BadParameter(f"{given!r} is not COLUMN=WORD,COLUMN=WORD", param_hint=option)
