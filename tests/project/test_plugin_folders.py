"""Every plugin's README answers the same questions, and its settings and commands are in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import settings_reference

from secureml.testing import Harness

if TYPE_CHECKING:
    from secureml import Plugin

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGINS = settings_reference.plugins()
PARTS = ("What it stops", "Settings", "(?:Codes|Messages)[a-z ]*", "Files[a-z ]*", "By hand")


def readme(cls: type[Plugin]) -> str:
    return (CHECKOUT / "plugins" / cls.name / "README.md").read_text("utf-8")


@pytest.fixture(params=PLUGINS, ids=lambda cls: cls.name)
def plugin(request: pytest.FixtureRequest) -> type[Plugin]:
    found: type[Plugin] = request.param
    return found


def test_its_readme_has_the_standard_parts_in_order(plugin: type[Plugin]) -> None:
    headings = re.findall(r"^## (.+)$", readme(plugin), re.MULTILINE)
    found = [next((i for i, h in enumerate(headings) if re.fullmatch(p, h)), -1) for p in PARTS]
    assert -1 not in found, headings
    assert found == sorted(found), headings


def test_its_readme_begins_with_its_name_and_says_where_it_stands(plugin: type[Plugin]) -> None:
    assert re.match(rf"# `?{plugin.name}\b", readme(plugin))


def test_every_setting_is_in_its_readme_or_the_readme_says_where(plugin: type[Plugin]) -> None:
    page = readme(plugin)
    if "docs/settings.md" in page:
        return
    assert [key for key in plugin.schema().fields if f"`{key}`" not in page] == []


def test_every_command_is_in_its_readme(plugin: type[Plugin], tmp_path: Path) -> None:
    if not hasattr(plugin, "commands"):
        return
    table: dict[str, Any] = {
        key: settings_reference.example_of(key, field)
        for key, field in plugin.schema().fields.items()
        if field.required or field.metadata.get("enough")
    }
    for value in table.values():
        if isinstance(value, str) and value.startswith("file:"):
            secret = tmp_path / value.removeprefix("file:")
            secret.parent.mkdir(mode=0o700, exist_ok=True)
            secret.write_bytes(b"k" * 64)
            secret.chmod(0o600)
    group = Harness(tmp_path).build(plugin, table).commands()
    name = plugin.name.replace("_", "-")
    page = readme(plugin)
    missing = [word for word in group.commands if f"`secureml {name} {word}" not in page]
    assert group.commands
    assert missing == []


def test_every_file_that_its_readme_names_is_there(plugin: type[Plugin]) -> None:
    """Also one of the core or of the kit, where it is named with its folder."""
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", readme(plugin))
    folder = CHECKOUT / "plugins" / plugin.name
    assert [
        name for name in named if not ((folder / name).exists() or (CHECKOUT / name).exists())
    ] == []
