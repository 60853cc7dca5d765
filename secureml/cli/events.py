"""``secureml events tail``: what happens, as it is written down, for a person at a terminal.

The records come from the enabled plugin that has `records`; the core keeps none of its own.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import click

from secureml.cli.main import CommandContext
from secureml.kit.output import json_option, record_line
from secureml.pipeline import builtin_plugins

PAUSE = 0.25  # seconds between two looks with --follow
Recall = Callable[[int], Iterable[Mapping[str, Any]]]


@click.group()
def events() -> None:
    """Show recorded events."""


@events.command()
@click.option("-f", "--follow", is_flag=True, help="Continue with new events.")
@click.option("-n", "count", type=click.IntRange(0), default=20, show_default=True)
@click.option("--client", default="", help="Only events of this client.")
@click.option("--event", default="", help="Only events with this name.")
@click.option("--code", default="", help="Only this problem code.")
@json_option
@click.pass_obj
def tail(
    context: CommandContext, /, follow: bool, count: int, as_json: bool, **filters: str
) -> None:
    """Show the last events; with --json one object per line."""
    records = _recall(context)
    say = _json_line if as_json else record_line

    def fits(record: Mapping[str, Any]) -> bool:
        # Of refusals that were only counted the code is a fact of their number.
        fields = {**(record.get("facts") or {}), **record}
        return all(not word or fields.get(name) == word for name, word in filters.items())

    last, seen = deque[Mapping[str, Any]](maxlen=count), 0
    for record in records(0):
        seen = record["seq"]
        if fits(record):
            last.append(record)
    for record in last:
        click.echo(say(record))
    if follow:
        for record in filter(fits, _follow(records, seen)):
            click.echo(say(record))


def _recall(context: CommandContext) -> Recall:
    for loaded in context.core.plugins:
        if hasattr(loaded.plugin, "records"):
            found: Recall = loaded.plugin.records
            return found
    raise click.ClickException(
        "no enabled plugin keeps events; fix: add "
        f"{builtin_plugins.suited(lambda cls: hasattr(cls, 'records'))} to plugins in [secureml]"
    )


def _follow(records: Recall, seen: int) -> Iterator[Mapping[str, Any]]:
    while True:
        for record in records(seen):
            seen = record["seq"]
            yield record
        time.sleep(PAUSE)


def _json_line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"))
