"""The table of files in instance/README.md, made from what the core and the plugins declare.

python tests/project/instance_table.py      writes it; a test refuses drift
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import settings_reference

from secureml import layout
from secureml.kit.instance_file import InstanceFile
from secureml.pipeline import file_claims
from secureml.pipeline.declared_outputs import written_by
from secureml.pipeline.plugin import Plugin

PAGE = settings_reference.CHECKOUT / "instance" / "README.md"
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
HEAD = "| what | mode | owner | the service writes it | in a backup | contents |"


class Row(NamedTuple):
    """One path: ``owner`` is the core, a plugin, or the key of a plugin that names the path."""

    path: str
    mode: int
    owner: str
    service_writes: bool
    backup: bool
    what: str

    def line(self) -> str:
        """Return the row as markdown."""
        answers = " | ".join("yes" if yes else "no" for yes in (self.service_writes, self.backup))
        return f"| `{self.path}` | {self.mode:04o} | {self.owner} | {answers} | {self.what} |"


def rows() -> Iterator[Row]:
    """Yield what the core owns, what plugins declare and what their settings name, by default."""
    for file in (*layout.FOLDERS, *layout.FILES):
        yield of_file("core", file)
    classes = settings_reference.plugins()
    for name, file in file_claims.claims(classes):
        yield of_file(f"`{name}`", file)
    for cls in classes:
        yield from of_settings(cls)


def of_file(owner: str, file: InstanceFile) -> Row:
    """Return the row of a declaration."""
    slash = "/" * file.folder
    return Row(
        file.path + slash, file.mode, owner, file.service_writes, is_backed_up(file), file.what
    )


def is_backed_up(file: InstanceFile) -> bool:
    """Tell whether a backup holds it; in a folder that is made anew it does not."""
    return file.backup and file.path.split("/")[0] not in layout.MADE_ANEW


def of_settings(cls: type[Plugin]) -> Iterator[Row]:
    """Yield the paths that a plugin's settings name unless an operator names others."""
    schema = cls.schema()
    defaults = {key: settings_reference.default_of(field) for key, field in schema.fields.items()}
    for key, path, how in written_by(schema, defaults):
        what = re.split(r"(?<=[.;]) ", schema.fields[key].metadata["description"])[0]
        owner = f"`{cls.name}`, by `{key}`"
        yield Row(path + "/" * how.folder, how.mode, owner, True, True, what.rstrip(".;"))


def table() -> str:
    """Return the table as markdown, by path."""
    lines = [row.line() for row in sorted(rows(), key=lambda row: Path(row.path).parts)]
    return "\n".join([HEAD, "|---|---|---|---|---|---|", *lines]) + "\n"


def page() -> str:
    """Return the page with the table that it should have."""
    return TABLE.sub(lambda _: table(), PAGE.read_text("utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
