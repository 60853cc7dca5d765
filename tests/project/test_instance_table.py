"""The table of an instance's files is that of the declarations, and names what `init` makes."""

from __future__ import annotations

from pathlib import Path

import instance_table

from secureml.cli.main import CommandContext


def test_the_page_has_the_table_of_the_declarations() -> None:
    """python tests/project/instance_table.py writes it."""
    assert instance_table.PAGE.read_text("utf-8") == instance_table.page()


def test_every_row_has_an_owner_and_contents() -> None:
    found = list(instance_table.rows())
    assert len({row.path for row in found}) == len(found)
    assert all(row.what and row.owner for row in found)
    owners = {row.owner.split("`")[1] for row in found if row.owner != "core"}
    assert {"transport", "audit_log", "rate_limit", "access_log", "metrics"} <= owners


def test_all_that_an_instance_has_is_in_the_table_or_in_a_folder_of_it(
    demo_instance: Path,
) -> None:
    context = CommandContext(str(demo_instance))
    named = {demo_instance / row.path for row in instance_table.rows()}
    folders = {path for path in named if path.is_dir()}
    beside = ("-wal", "-shm", ".concurrency", ".failures")
    loose = [
        path
        for path in context.instance.rglob("*")
        if path.is_file()
        and not path.name.endswith(beside)
        and path not in named
        and folders.isdisjoint(path.parents)
    ]
    assert loose == []
