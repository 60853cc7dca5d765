"""What plugins demand of one another is demanded at the start."""

from __future__ import annotations

import pytest

from secureml import ConfigError, Plugin
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.pipeline import loader, plugin_set
from secureml.testing import Harness


class Gate(Plugin):
    """Stands at LIMIT."""

    name = "gate"

    def limit(self, exchange):
        """Refuse no one."""


class Porter(Plugin):
    """Stands at IDENTIFY and AUTHORIZE."""

    name = "porter"

    def identify(self, exchange):
        """Know no one."""

    def authorize(self, exchange):
        """Refuse no one."""


def build(tmp_path, classes, tables=None):
    """Build plugins against a real harness."""
    return loader.build(classes, tables or {}, Harness(tmp_path).host)


def test_someone_must_identify_and_someone_must_authorize(tmp_path):
    """Else the message says how to run open on purpose."""
    said = r"IDENTIFY; fix: add one that does: 'api_keys', .* or 'anonymous' \(it "
    with pytest.raises(ConfigError, match=said):
        plugin_set.check(build(tmp_path, [Gate]))
    only_names = type("Names", (Plugin,), {"name": "names", "identify": Porter.identify})
    with pytest.raises(ConfigError, match=r"AUTHORIZE.*scopes"):
        plugin_set.check(build(tmp_path, [only_names]))
    plugin_set.check(build(tmp_path, [Porter]))


def test_at_most_one_plugin_words_refusals(tmp_path):
    """Two voices would answer in two shapes."""
    one, two = (type(name, (Plugin,), {"name": name, "render": lambda *_: {}}) for name in "ab")

    with pytest.raises(ConfigError, match="two plugins word refusals: a, b"):
        plugin_set.check(build(tmp_path, [Porter, one, two]))


def test_who_must_see_an_answer_whole_comes_before_who_takes_of_it(tmp_path):
    """The list is the order in every phase, and a wrong one would blind without a word."""
    taker = type("Taker", (Plugin,), {"name": "taker"})
    seer = type("Seer", (Plugin,), {"name": "seer", "runs_before": ("taker", "elsewhere")})

    with pytest.raises(ConfigError, match=r"seer comes after taker.*name seer before taker"):
        plugin_set.check(build(tmp_path, [Porter, taker, seer]))
    plugin_set.check(build(tmp_path, [Porter, seer, taker]))
    plugin_set.check(build(tmp_path, [Porter, seer]))


def test_two_plugins_that_believe_one_issuer_stop_the_start(tmp_path):
    """Each would refuse what the other has issued."""
    one, two = (type(name, (Plugin,), {"name": name, "issuers": ["https://i"]}) for name in "ab")

    with pytest.raises(ConfigError, match="a and b both accept tokens of https://i"):
        plugin_set.check(build(tmp_path, [Porter, one, two]))
    plugin_set.check(build(tmp_path, [Porter, one]))


def test_who_names_callers_by_their_connection_needs_a_proven_edge(tmp_path):
    """Else whoever reaches the socket could bring anybody's certificate."""
    by_it = type("ByIt", (Porter,), {"name": "by_it", "identifies_by_connection": True})
    unsure, sure = (
        type("Edge", (Plugin,), {"name": "edge", "verifies_proxy": proves})
        for proves in (False, True)
    )
    for company in ([by_it], [unsure, by_it]):
        with pytest.raises(ConfigError, match=r"by_it uses .* no plugin verifies"):
            plugin_set.check(build(tmp_path, company))
    plugin_set.check(build(tmp_path, [sure, by_it]))
    plugin_set.check(build(tmp_path, [by_it, sure]))


def test_who_has_the_proxy_ask_for_certificates_needs_a_proven_edge(tmp_path):
    """What the proxy says of them is read then, and anybody could say it."""
    words = {"name": "by_it", "proxy_requirements": ProxyRequirements(client_authorities="tls/a")}
    by_it = type("ByIt", (Porter,), words)
    edge = type("Edge", (Plugin,), {"name": "edge", "verifies_proxy": True})

    with pytest.raises(ConfigError, match=r"by_it uses .* no plugin verifies"):
        plugin_set.check(build(tmp_path, [by_it]))
    plugin_set.check(build(tmp_path, [edge, by_it]))


def test_the_plugin_that_could_verify_the_proxy_is_named_with_the_keys_that_do_it(tmp_path):
    """One that is enabled, else one of ours."""
    by_it = type("ByIt", (Porter,), {"name": "by_it", "identifies_by_connection": True})
    words = {"name": "edge", "proxy_verification_keys": ("secret", "peers")}
    edge = type("Edge", (Plugin,), words)
    for company, fix in (
        ([by_it], "enable 'transport', and in [plugins.transport] set trusted and edge_token"),
        ([edge, by_it], "in [plugins.edge] set secret and peers"),
    ):
        with pytest.raises(ConfigError) as refused:
            plugin_set.check(build(tmp_path, company))
        assert refused.value.fix == fix


def test_two_plugins_that_have_the_proxy_send_different_tokens_stop_the_start(tmp_path):
    one, two = (
        type(
            name.title(),
            (Plugin,),
            {"name": name, "proxy_requirements": ProxyRequirements(token=f"env:{name}")},
        )
        for name in ("gate_one", "gate_two")
    )
    with pytest.raises(ConfigError, match="gate_one and gate_two have the proxy send different"):
        plugin_set.check(build(tmp_path, [Porter, one, two]))


def test_who_names_callers_by_their_connection_stands_behind_who_reads_a_header(tmp_path):
    """Else a key that was revoked would pass unread beside a certificate."""
    by_it = type("ByIt", (Porter,), {"name": "by_it", "identifies_by_connection": True})
    edge = type("Edge", (Plugin,), {"name": "edge", "verifies_proxy": True})
    keys = type("Keys", (Porter,), {"name": "keys", "credential_header": "X-Key"})

    with pytest.raises(ConfigError, match="name 'by_it' after 'keys'"):
        plugin_set.check(build(tmp_path, [edge, by_it, keys]))
    plugin_set.check(build(tmp_path, [edge, keys, by_it]))


def test_who_settles_what_the_others_read_is_first_at_its_phase(tmp_path):
    """Also before plugins that it has never heard of."""
    opens = type("Opens", (Plugin,), {"name": "opens", "first_at": ("admit",), "admit": str})
    other = type("Other", (Plugin,), {"name": "other", "admit": str})

    with pytest.raises(ConfigError, match=r"other comes before opens at ADMIT.*name opens before"):
        plugin_set.check(build(tmp_path, [Porter, other, opens]))
    plugin_set.check(build(tmp_path, [Porter, opens, other]))


def test_who_names_everybody_is_last_at_its_phase(tmp_path):
    """A revoked key would pass unread in front of those behind it."""
    all_ = type("All", (Porter,), {"name": "all", "last_at": ("identify",)})
    keys = type("Keys", (Porter,), {"name": "keys"})

    with pytest.raises(ConfigError, match=r"keys comes after all at IDENTIFY.*name all after keys"):
        plugin_set.check(build(tmp_path, [all_, keys, Gate]))
    plugin_set.check(build(tmp_path, [keys, all_, Gate]))


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
        plugin_set.check(company(second, first, *rest))
    plugin_set.check(company(first, *rest, second))


def test_a_guard_that_looks_in_another_header_than_credentials_come_in_stops_the_start(tmp_path):
    """Every guess would pass it unseen."""
    keys = type("Keys", (Porter,), {"name": "keys", "credential_header": "X-Key"})
    guard = type("Guard", (Plugin,), {"name": "guard", "guards_headers": ("X-API-Key",)})
    seeing = type("Guard", (Plugin,), {"name": "guard", "guards_headers": ("x-key", "Other")})

    with pytest.raises(ConfigError, match=r"\[plugins.guard\] headers: keys reads .* add 'X-Key'"):
        plugin_set.check(build(tmp_path, [keys, guard]))
    plugin_set.check(build(tmp_path, [keys, seeing]))
    shipped = loader.find(["brute_force", "api_keys", "scopes"])
    plugin_set.check(build(tmp_path, shipped))
    with pytest.raises(ConfigError, match=r"\[plugins.brute_force\] headers: .* add 'X-Key'"):
        plugin_set.check(build(tmp_path, shipped, {"api_keys": {"header": "X-Key"}}))
