"""What the docs tell an operator to write starts a server, to the letter."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import settings_reference
from click.testing import CliRunner
from marshmallow import missing

from plugins.input_rules.parser import parse
from plugins.input_rules.rule_file import read_rules
from secureml.app import create_app
from secureml.cli.main import CommandContext, secureml
from secureml.settings import read
from secureml.settings_schema import TABLES

if TYPE_CHECKING:
    from marshmallow import Schema

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [
    CHECKOUT / "README.md",
    *sorted(CHECKOUT.glob("docs/*.md")),
    *sorted(CHECKOUT.glob("plugins/*/README.md")),
]
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(CHECKOUT)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL), 1)
]
# A file of rules for a model is no file of settings.
RULES = [block for block in BLOCKS if str(block.values[0]).startswith("[[rules]]")]
BLOCKS = [block for block in BLOCKS if block not in RULES]
# What stands in the example to choose from: the other way is meant to be left out.
OTHER_WAYS = {"secrets.vault": ("role_id", "secret_id")}
ELSEWHERE = re.compile(r'"(systemd|vault|aws):')
SCHEMAS = {name: schema for name, _, schema, _ in settings_reference.tables()}


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """What `secureml init` makes for a public server."""
    folder = tmp_path / "instance"
    words = ["init", "--profile", "production", "--host", "ml.example.org"]
    done = CliRunner().invoke(secureml, words, obj=CommandContext(str(folder)))
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of docs/plugins.md, where Python finds them."""
    for folder in sorted((CHECKOUT / "tests" / "thirdparty").glob("acme_*")):
        monkeypatch.syspath_prepend(folder)


def example() -> dict[str, Any]:
    """Return the example file as it reads without its comment signs."""
    text = (CHECKOUT / "instance" / "secureml.example.toml").read_text("utf-8")
    return tomllib.loads(re.sub(r"(?m)^#(?! )", "", text))


def flat(tables: dict[str, Any], before: str = "") -> dict[str, dict[str, Any]]:
    """Return tables by their full name, each with its own keys alone."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in tables.items():
        found[f"{before}{name}"] = {k: v for k, v in value.items() if not isinstance(v, dict)}
        inner = {k: v for k, v in value.items() if isinstance(v, dict)}
        found |= flat(inner, f"{before}{name}.")
    return found


def listed(tables: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the same, and the first of each list of tables by the name its heading has."""
    found = flat(tables)
    for name, table in list(found.items()):
        for key, value in table.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                found[f"[{name}.{key}]"] = value[0]
                found[name] = {k: v for k, v in table.items() if k != key}
    return found


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return settings with what a page adds to them."""
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(name), dict)
        below[name] = merged(below[name], value) if both else value
    return below


def toml(tables: dict[str, Any]) -> str:
    """Write settings again."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{k} = {settings_reference.toml(v)}\n" for k, v in table.items())
        for name, table in flat(tables).items()
    )


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.usefixtures("importable")
def test_a_printed_block_starts_on_top_of_what_init_wrote(block: str, instance: Path) -> None:
    file = instance / "secureml.toml"
    file.write_text(toml(merged(tomllib.loads(file.read_text()), tomllib.loads(block))))
    # Where a secret lies with others the start would ask them; here it can only be read.
    read(instance) if ELSEWHERE.search(block) else create_app(instance)


@pytest.mark.parametrize("block", RULES)
def test_a_printed_file_of_rules_is_one(block: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(block)
    assert all(parse(rule.rule) for rule in read_rules(file))


def test_the_example_starts_with_the_comment_signs_removed(instance: Path) -> None:
    tables = example()
    enabled = {*tables["secureml"]["plugins"]}
    tables["plugins"] = {k: v for k, v in tables["plugins"].items() if k in enabled}
    # Managers of secrets are asked at the start, and none is here.
    tables["secrets"] = {k: v for k, v in tables["secrets"].items() if not isinstance(v, dict)}
    tables["plugins"]["transport"]["trusted"] = ["unix"]  # by default nobody is: it cannot start
    (instance / "store" / "secureml.db").rename(instance / "secureml.db")
    (instance / "secureml.toml").write_text(toml(tables))
    create_app(instance)


def test_the_example_names_every_table_and_no_other() -> None:
    assert set(listed(example())) - {"plugins"} == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_table_of_the_example_loads_to_the_defaults(name: str) -> None:
    schema: type[Schema] = SCHEMAS[name]
    left_out = ("mode", *OTHER_WAYS.get(name, ()))
    table = {k: v for k, v in listed(example())[name].items() if k not in left_out}
    elsewhere = dict(settings_reference.lists_of_tables(schema))
    elsewhere |= dict(settings_reference.nested(schema))
    loaded = schema().load(table, partial=tuple(elsewhere))
    for key, field in schema().fields.items():
        default = settings_reference.default_of(field)
        if key not in elsewhere and default is not missing and default is not None:
            assert loaded[key] == default, key


def test_the_settings_page_writes_sizes_and_times_as_an_operator_does() -> None:
    page = (CHECKOUT / "docs" / "settings.md").read_text("utf-8")
    assert '| `body` | `"1MiB"` |' in page
    assert '| `rotate_after` | `"90d"` |' in page


def test_the_settings_page_speaks_in_sentences() -> None:
    page = (CHECKOUT / "docs" / "settings.md").read_text("utf-8")
    assert "``" not in page
    sections = re.findall(r"^## `\[(.+)\]`\n\n(.+)$", page, re.MULTILINE)
    assert {name for name, _ in sections} >= set(TABLES)
    for name, sentence in sections:
        assert sentence[0].isupper(), name
        assert sentence.endswith("."), name
