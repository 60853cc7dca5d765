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
        ("../scopes", "no plugin name"),
        ("scopes.plugin", "no plugin name"),
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


def test_someone_must_identify_and_someone_must_authorize(tmp_path):
    """Else the message says how to run open on purpose."""
    with pytest.raises(ConfigError, match=r"IDENTIFY.*anonymous"):
        loader.check_plugin_set(build(tmp_path, [Gate]))
    only_names = type("Names", (Plugin,), {"name": "names", "identify": Porter.identify})
    with pytest.raises(ConfigError, match=r"AUTHORIZE.*scopes"):
        loader.check_plugin_set(build(tmp_path, [only_names]))
    loader.check_plugin_set(build(tmp_path, [Porter]))


def test_at_most_one_plugin_words_refusals(tmp_path):
    """Two voices would answer in two shapes."""
    one, two = (type(name, (Plugin,), {"name": name, "render": lambda *_: {}}) for name in "ab")

    with pytest.raises(ConfigError, match="two plugins word refusals: a, b"):
        loader.check_plugin_set(build(tmp_path, [Porter, one, two]))


def test_who_must_see_an_answer_whole_comes_before_who_takes_of_it(tmp_path):
    """The list is the order in every phase, and a wrong one would blind without a word."""
    taker = type("Taker", (Plugin,), {"name": "taker"})
    seer = type("Seer", (Plugin,), {"name": "seer", "runs_before": ("taker", "elsewhere")})

    with pytest.raises(ConfigError, match=r"seer comes after taker.*name seer before taker"):
        loader.check_plugin_set(build(tmp_path, [Porter, taker, seer]))
    loader.check_plugin_set(build(tmp_path, [Porter, seer, taker]))
    loader.check_plugin_set(build(tmp_path, [Porter, seer]))


def test_two_plugins_that_believe_one_issuer_stop_the_start(tmp_path):
    """Each would refuse what the other has issued."""
    one, two = (type(name, (Plugin,), {"name": name, "issuers": ["https://i"]}) for name in "ab")

    with pytest.raises(ConfigError, match="a and b both believe tokens of https://i"):
        loader.check_plugin_set(build(tmp_path, [Porter, one, two]))
    loader.check_plugin_set(build(tmp_path, [Porter, one]))


def test_who_names_callers_by_their_connection_needs_a_proven_edge(tmp_path):
    """Else whoever reaches the socket could bring anybody's certificate."""
    by_it = type("ByIt", (Porter,), {"name": "by_it", "identifies_by_connection": True})
    unsure, sure = (
        type("Edge", (Plugin,), {"name": "edge", "verifies_proxy": proves})
        for proves in (False, True)
    )
    for company in ([by_it], [unsure, by_it]):
        with pytest.raises(ConfigError, match=r"by_it believes .* nothing proves"):
            loader.check_plugin_set(build(tmp_path, company))
    loader.check_plugin_set(build(tmp_path, [sure, by_it]))
    loader.check_plugin_set(build(tmp_path, [by_it, sure]))


def test_who_names_callers_by_their_connection_stands_behind_who_reads_a_header(tmp_path):
    """Else a key that was revoked would pass unread beside a certificate."""
    by_it = type("ByIt", (Porter,), {"name": "by_it", "identifies_by_connection": True})
    edge = type("Edge", (Plugin,), {"name": "edge", "verifies_proxy": True})
    keys = type("Keys", (Porter,), {"name": "keys", "credential_header": "X-Key"})

    with pytest.raises(ConfigError, match="name 'by_it' after 'keys'"):
        loader.check_plugin_set(build(tmp_path, [edge, by_it, keys]))
    loader.check_plugin_set(build(tmp_path, [edge, keys, by_it]))


def test_who_settles_what_the_others_read_is_first_at_its_phase(tmp_path):
    """Also before plugins that it has never heard of."""
    opens = type("Opens", (Plugin,), {"name": "opens", "first_at": ("admit",), "admit": str})
    other = type("Other", (Plugin,), {"name": "other", "admit": str})

    with pytest.raises(ConfigError, match=r"other comes before opens at ADMIT.*name opens before"):
        loader.check_plugin_set(build(tmp_path, [Porter, other, opens]))
    loader.check_plugin_set(build(tmp_path, [Porter, opens, other]))


def test_who_names_everybody_is_last_at_its_phase(tmp_path):
    """A revoked key would pass unread in front of those behind it."""
    all_ = type("All", (Porter,), {"name": "all", "last_at": ("identify",)})
    keys = type("Keys", (Porter,), {"name": "keys"})

    with pytest.raises(ConfigError, match=r"keys comes after all at IDENTIFY.*name all after keys"):
        loader.check_plugin_set(build(tmp_path, [all_, keys, Gate]))
    loader.check_plugin_set(build(tmp_path, [keys, all_, Gate]))


TABLES = {
    "transport": {"hosts": ["ml.example.org"], "trusted": ["unix"]},
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("transport", "rate_limit"),
        ("transport", "brute_force"),
        ("transport", "anomaly"),
        ("api_keys", "anonymous"),
        ("rate_limit", "input_rules"),
        ("rate_limit", "theft_guard"),
        ("theft_guard", "output_rules"),
    ],
)
def test_an_order_of_shipped_plugins_that_blinds_one_of_them_stops_the_start(
    tmp_path, first, second
):
    def company(*names):
        tables = {name: table for name, table in TABLES.items() if name in names}
        return build(tmp_path, loader.find(names), tables)

    rest = [name for name in ("api_keys", "scopes") if name not in (first, second)]
    with pytest.raises(ConfigError, match=f"name {first} before {second}|name {second} after"):
        loader.check_plugin_set(company(second, first, *rest))
    loader.check_plugin_set(company(first, *rest, second))


def test_a_guard_that_looks_in_another_header_than_credentials_come_in_stops_the_start(tmp_path):
    """Every guess would pass it unseen."""
    keys = type("Keys", (Porter,), {"name": "keys", "credential_header": "X-Key"})
    guard = type("Guard", (Plugin,), {"name": "guard", "guards_headers": ("X-API-Key",)})
    seeing = type("Guard", (Plugin,), {"name": "guard", "guards_headers": ("x-key", "Other")})

    with pytest.raises(ConfigError, match=r"\[plugins.guard\] headers: keys reads .* add 'X-Key'"):
        loader.check_plugin_set(build(tmp_path, [keys, guard]))
    loader.check_plugin_set(build(tmp_path, [keys, seeing]))
    shipped = loader.find(["brute_force", "api_keys", "scopes"])
    loader.check_plugin_set(build(tmp_path, shipped))
    with pytest.raises(ConfigError, match=r"\[plugins.brute_force\] headers: .* add 'X-Key'"):
        loader.check_plugin_set(build(tmp_path, shipped, {"api_keys": {"header": "X-Key"}}))


def test_a_misspelt_key_stops_the_start_whatever_the_plugin_says_of_unknown_ones(tmp_path):
    """Else its default would hold, and nobody would know."""

    class Lenient(Table):
        class Meta:
            unknown = INCLUDE

    lenient = type("Lenient", (Gate,), {"name": "lenient", "schema": Lenient})
    with pytest.raises(ConfigError, match=r"\[plugins.lenient\] sise: this key is unknown"):
        build(tmp_path, [lenient], {"lenient": {"sise": 2}})
