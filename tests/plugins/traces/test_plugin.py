"""Traces in their phase: whose parent is believed, and what cannot be set."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="pip install -r tests/requirements.txt")
sys.path.insert(0, str(Path(__file__).parent))
from collector import collecting

from plugins.traces.plugin import Traces
from secureml import ConfigError, Principal
from secureml.testing import Harness

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def principal(name):
    return Principal(name, name, frozenset(), frozenset(), "", "badge", "k")


@pytest.fixture
def harness(tmp_path):
    made = Harness(tmp_path)
    yield made
    made.store.close()


def continued(harness, table, client="", foreign_id=""):
    """Tell whether a request with a traceparent goes on with that trace."""
    with collecting() as seen:
        plugin = harness.build(Traces, table | {"endpoint": seen.url})
        exchange = harness.exchange("GET", "/x", headers={"traceparent": PARENT})
        exchange.status, exchange.foreign_id = 200, foreign_id
        exchange.principal = principal(client) if client else None
        plugin.record(exchange)
        plugin.close()
    (span,) = seen.spans
    return span.trace_id.hex() == PARENT[3:35]


@pytest.mark.parametrize(("client", "foreign_id"), [("", ""), ("acme", ""), ("acme", "f00")])
def test_attack_nobodys_parent_is_believed_unless_it_is_said(harness, client, foreign_id):
    assert not continued(harness, {}, client, foreign_id)


def test_the_parent_of_a_client_that_is_named_is_believed(harness):
    table = {"believe_clients": ["acme"]}
    assert continued(harness, table, "acme")
    assert not continued(harness, table, "other")
    assert not continued(harness, table)


def test_the_parent_of_the_edge_is_believed_only_of_what_came_through_it(harness):
    table = {"believe_edge": True}
    assert continued(harness, table, foreign_id="f00")
    assert not continued(harness, table, "acme")


def test_a_token_is_shown_to_the_collector(harness):
    (harness.folder / "keys").mkdir(mode=0o700)
    file = harness.folder / "keys" / "collector"
    file.touch(0o600)
    file.write_text("a-long-enough-token-of-ours")
    with collecting() as seen:
        table = {"endpoint": seen.url, "token": "file:keys/collector"}
        plugin = harness.build(Traces, table)
        plugin.record(harness.exchange())
        plugin.close()
    assert seen.headers[0]["Authorization"] == "Bearer a-long-enough-token-of-ours"


@pytest.mark.parametrize(
    "endpoint",
    ["http://collector.example:4318/v1/traces", "ftp://127.0.0.1/", "https://user:pw@c.example/",
     "https://", "", "http://127.0.0.1.evil.example/", "https://c.example/#x", "https://[::1/", "http://c:x/"],
)  # fmt: skip
def test_an_address_where_spans_would_travel_in_the_clear_stops_the_start(harness, endpoint):
    with pytest.raises(ConfigError) as refused:
        harness.load(Traces, {"endpoint": endpoint})
    assert refused.value.key == "endpoint"


@pytest.mark.parametrize(
    "endpoint", ["https://c.example/v1/traces", "http://localhost:4318/x", "http://[::1]:4318/x"]
)
def test_an_address_that_is_safe_is_taken(harness, endpoint):
    harness.load(Traces, {"endpoint": endpoint})


@pytest.mark.parametrize(
    ("table", "key"),
    [({"share": 1.1}, "share"), ({"share": -0.1}, "share"), ({"service": ""}, "service"),
     ({"believe_edge": "yes"}, "believe_edge"), ({"believe_clients": [""]}, "believe_clients.0")],
)  # fmt: skip
def test_a_table_that_cannot_work_stops_the_start(harness, table, key):
    with pytest.raises(ConfigError) as refused:
        harness.load(Traces, table)
    assert refused.value.key == key


def test_a_library_that_is_missing_stops_the_start_and_is_named(harness, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "plugins.traces.spans")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="the extra otel") as refused:
        harness.load(Traces)
    assert "script/extras otel" in refused.value.fix


def test_the_start_opens_no_thread(harness):
    """It would not live on in a worker."""
    import threading

    before = threading.active_count()
    harness.load(Traces)
    assert threading.active_count() == before
