"""From names to plugins: anything odd stops the start, with the table and the key."""

from __future__ import annotations

import pytest
from marshmallow import INCLUDE, Schema, fields

from secureml import ConfigError, Plugin
from secureml.pipeline import loader
from secureml.testing import Harness


class Table(Schema):
    """A table with one number."""

    size = fields.Integer(load_default=1, strict=True)


class Gate(Plugin):
    """Stands at LIMIT."""

    name = "gate"
    schema = Table

    def __init__(self, config, host):
        self.size, self.host = config["size"], host

    def limit(self, exchange):
        """Refuse no one."""


class Porter(Plugin):
    """Stands at IDENTIFY and AUTHORIZE."""

    name = "porter"

    def identify(self, exchange):
        """Know no one."""

    def authorize(self, exchange):
        """Refuse no one."""


class Unwilling(Plugin):
    """Finds its own fault."""

    name = "unwilling"

    def __init__(self, config, host):
        raise ConfigError("no", key="size", fix="yes")


def build(tmp_path, classes, tables=None):
    """Build plugins against a real harness."""
    return loader.build(classes, tables or {}, Harness(tmp_path).host)


def test_a_name_is_a_package_under_plugins():
    """The operator's word for it."""
    assert [cls.name for cls in loader.find(["scopes", "errors"])] == ["scopes", "errors"]


def test_a_strangers_plugin_is_named_by_import_path(tmp_path, monkeypatch):
    """No scanning: installed is not enabled."""
    (tmp_path / "acme_gate.py").write_text(
        "from secureml import Plugin\nclass Acme(Plugin):\n    name = 'acme'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert loader.find(["acme_gate:Acme"])[0].name == "acme"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("nowhere", "spelling"),
        ("../scopes", "not a plugin name"),
        ("scopes.plugin", "not a plugin name"),
        ("no_such_package:Waf", "install the library 'no_such_package'|spelling"),
        ("json:dumps", "not a Plugin class"),
        ("secureml:Nothing", "cannot be imported"),
    ],
)
def test_what_is_no_plugin_stops_the_start(entry, says):
    """With the key and a fix."""
    with pytest.raises(ConfigError, match=rf"\[secureml\] plugins: .*({says})"):
        loader.find([entry])


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    """Its absence is told when the plugin is enabled, not to everyone."""
    (tmp_path / "needy.py").write_text("import library_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match="install the library 'library_not_there'"):
        loader.find(["needy:Plugin"])


def test_a_plugin_listed_twice_stops_the_start():
    """Plurality lives in its table."""
    with pytest.raises(ConfigError, match="listed twice"):
        loader.find(["scopes", "errors", "scopes"])


def test_each_plugin_gets_its_own_table_and_host(tmp_path):
    """Its own folder in the instance, and nothing of the others."""
    (loaded,) = build(tmp_path, [Gate], {"gate": {"size": 7}})

    assert (loaded.plugin.size, loaded.plugin.host.folder) == (7, tmp_path / "gate")
    assert loaded.name == "gate"
    assert not loaded.observe


def test_a_table_without_its_plugin_stops_the_start(tmp_path):
    """A forgotten name in the list is not a silent no."""
    with pytest.raises(ConfigError, match=r"\[plugins.gate\]: .*not enabled"):
        build(tmp_path, [], {"gate": {}})


def test_a_table_without_its_plugin_is_told_both_ways_out(tmp_path):
    with pytest.raises(ConfigError) as refused:
        build(tmp_path, [], {"gate": {}})
    assert refused.value.fix == (
        "to use gate, add 'gate' to plugins in [secureml], in its place in the order "
        "(secureml.example.toml shows it); to do without, remove this table"
    )


def test_a_misspelt_table_is_told_the_plugin_that_is_enabled_and_not_to_add_the_misspelt(tmp_path):
    with pytest.raises(ConfigError) as refused:
        build(tmp_path, [Gate], {"gaet": {}})
    assert refused.value.fix == (
        "did you mean 'gate'? else remove this table, or add 'gaet' to plugins in [secureml]"
    )


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"sise": 2}, r"\[plugins.gate\] sise: .*unknown; fix: did you mean 'size'"),
        (
            {"mod": "observe"},
            r"mod: .*unknown; fix: did you mean 'mode'\? the keys here are mode, s",
        ),
        ({"size": "x"}, r"size: Not a valid.*write a whole number"),
    ],
)
def test_a_wrong_key_or_value_stops_the_start(tmp_path, table, says):
    """With the table and the key."""
    with pytest.raises(ConfigError, match=says):
        build(tmp_path, [Gate], {"gate": table})


def test_a_fault_a_plugin_finds_itself_is_told_with_its_table(tmp_path):
    """The plugin names the key, the loader the table."""
    with pytest.raises(ConfigError, match=r"\[plugins.unwilling\] size: no; fix: yes"):
        build(tmp_path, [Unwilling])


def test_mode_observe_is_taken_before_the_schema_sees_the_table(tmp_path):
    """Every refusing plugin has it, none declares it."""
    (loaded,) = build(tmp_path, [Gate], {"gate": {"mode": "observe"}})

    assert loaded.observe


@pytest.mark.parametrize("mode", ["observed", "", 1, None, ["observe"]])
def test_an_unknown_mode_stops_the_start(tmp_path, mode):
    """Only two words are modes."""
    with pytest.raises(ConfigError, match="mode"):
        build(tmp_path, [Gate], {"gate": {"mode": mode}})


@pytest.mark.parametrize("cls", [Porter, Plugin])
def test_who_identifies_or_never_refuses_cannot_be_observed(tmp_path, cls):
    """To observe identity would be to open the phase."""
    quiet = type("Quiet", (cls,), {"name": "quiet"})

    with pytest.raises(ConfigError, match="cannot be observed"):
        build(tmp_path, [quiet], {"quiet": {"mode": "observe"}})


def test_a_misspelt_key_stops_the_start_whatever_the_plugin_says_of_unknown_ones(tmp_path):
    """Else its default would hold, and nobody would know."""

    class Lenient(Table):
        class Meta:
            unknown = INCLUDE

    lenient = type("Lenient", (Gate,), {"name": "lenient", "schema": Lenient})
    with pytest.raises(ConfigError, match=r"\[plugins.lenient\] sise: this key is unknown"):
        build(tmp_path, [lenient], {"lenient": {"sise": 2}})
