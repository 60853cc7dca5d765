"""``secureml db current | check | upgrade``: the tables of the store and their revisions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from secureml.cli.main import CommandContext
from secureml.kit.output import emit, json_option

if TYPE_CHECKING:
    import sqlalchemy as sa

    from secureml.state.migration import Migration
    from secureml.state.schema import SetState


@click.group()
def db() -> None:
    """Show, check and upgrade the tables of the store."""


@db.command()
@json_option
@click.pass_obj
def current(context: CommandContext, as_json: bool) -> None:
    """Show at which revision the tables are, and which one this version needs."""
    with _migration(context) as migration:
        states = migration.states()
    data = [{**asdict(state), "newest": state.newest, "state": state.word} for state in states]
    emit(data, as_json, "\n".join(_lines(states)))


def _lines(states: list[SetState]) -> list[str]:
    from secureml.state.schema import FIRST, shown

    told = [state for state in states if state.word != "current" or state.newest != FIRST]
    lines = [
        f"{', '.join(state.tables)}: {state.word}, "
        + (f"at {shown(state.revision)}, " if state.revision is not None else "")
        + f"newest is {shown(state.newest)}"
        for state in told
    ]
    first = sum(len(state.tables) for state in states if state not in told)
    return [*lines, f"{first} tables: current, as first declared"]


@db.command()
@json_option
@click.pass_obj
def check(context: CommandContext, as_json: bool) -> None:
    """Compare the tables with what this version declares; exit code 1 if they differ."""
    with _migration(context) as migration:
        for state in migration.states():
            if state.word != "absent":
                state.demand_current()
        found = migration.differences()
    text = "\n".join(found) or "the tables are as declared"
    emit({"ok": not found, "differences": found}, as_json, text)
    if found:
        raise click.exceptions.Exit(1)


@db.command()
@click.option(
    "--backed-up",
    is_flag=True,
    help="You have a dump of the PostgreSQL database (pg_dump); of SQLite a copy is made.",
)
@json_option
@click.pass_obj
def upgrade(context: CommandContext, backed_up: bool, as_json: bool) -> None:
    """Bring the tables to the newest revision, all or none of them.

    Run it with the new version, before its servers start; of several hosts on one.
    """
    url, copies = context.store.url, []

    def keep_a_copy() -> None:
        if url.get_backend_name() == "sqlite":
            copies.append(str(_copy(url)))
        elif not backed_up:
            raise click.ClickException(
                "tables will be changed, and there is no way back but a backup; nothing was "
                "changed; fix: pg_dump the database, then secureml db upgrade --backed-up"
            )

    with _migration(context) as migration:
        steps = migration.upgrade(keep_a_copy)
    lines = [f"{', '.join(step.tables)}: {step.revision} {step.title}".strip() for step in steps]
    lines = [line.replace(":  ", ": ") for line in lines]
    lines += [f"the store before: {copy}" for copy in copies]
    data = {"steps": [asdict(step) for step in steps], "copy": copies[0] if copies else None}
    emit(data, as_json, "\n".join(lines) or "the tables are at the newest revision")


def _copy(url: sa.URL) -> Path:
    """Copy a SQLite file as it is now, next to it, readable by its owner alone."""
    path = Path(url.database or "")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    target = path.with_name(f"{path.name}.before-upgrade-{stamp}")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with (
        closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    return target


@contextmanager
def _migration(context: CommandContext) -> Iterator[Migration]:
    """Give the migration of the instance's store; what fails at the database is one line."""
    import sqlalchemy as sa

    from secureml.state.engines import StoreUnavailable
    from secureml.state.migration import Migration

    store = context.store
    with closing(Migration(store.url, store.table_sets)) as migration:
        try:
            yield migration
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            kind = getattr(error, "orig", None) or error
            raise StoreUnavailable(
                f"the database refused ({type(kind).__name__}: {kind}); nothing was changed"
            ) from None
