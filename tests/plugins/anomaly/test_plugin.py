"""Who is blocked is refused; everybody else is counted, by client and by address."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from plugins.anomaly.baseline import Reason
from plugins.anomaly.blocks import Block
from plugins.anomaly.decision import Action
from plugins.anomaly.feature_bins import bins_of
from plugins.anomaly.plugin import Anomaly, address_subject
from plugins.anomaly.window_store import SubjectScore
from plugins.anonymous.plugin import Anonymous
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Plugin, Policy, Principal, Problem, StoreUnavailable
from secureml.models.serving.registry import Registry
from secureml.testing import Harness
from tests import anomaly_traffic as traffic

ACME = Principal("acme", "acme", frozenset(), frozenset("*"), "standard", "api_keys", "k")


@pytest.fixture
def harness(tmp_path):
    found = Harness(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def plugin(harness):
    built = harness.build(Anomaly, {"flush_interval": "600s"})
    yield built
    built._scorer._stopping.set()


def add_block(harness, plugin, subject, kind, until=None):
    with harness.store.begin() as connection:
        plugin._blocks.add(connection, Block(subject, kind, 0.0, until, "reason"), 0.0)


def test_a_banned_address_gets_a_retry_after(harness, plugin):
    add_block(harness, plugin, "address:192.0.2.1", "ban", harness.clock() + 59.5)
    with pytest.raises(Problem) as refused:
        plugin.admit(harness.exchange(address="192.0.2.1"))
    assert refused.value.code == "anomaly.banned"
    assert refused.value.headers["Retry-After"] == "60"
    plugin.admit(harness.exchange(address="192.0.2.2"))
    harness.clock.advance(60)
    plugin.admit(harness.exchange(address="192.0.2.1"))


def test_a_held_client_is_refused_from_every_address(harness, plugin):
    add_block(harness, plugin, "client:acme", "hold")
    for address in ("192.0.2.1", "198.51.100.7"):
        exchange = harness.exchange(address=address, principal=ACME)
        plugin.admit(exchange)
        with pytest.raises(Problem, match=r"anomaly\.held"):
            plugin.limit(exchange)


def test_the_neighbours_in_a_64_are_one_and_others_are_not(harness, plugin):
    add_block(harness, plugin, address_subject("2001:db8:1:2::1"), "ban", harness.clock() + 60)
    with pytest.raises(Problem):
        plugin.admit(harness.exchange(address="2001:db8:1:2:ffff::9"))
    plugin.admit(harness.exchange(address="2001:db8:1:3::1"))


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.1", "address:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "address:192.0.2.1"),
        ("not:an:address", "address:not:an:address"),
    ],
)
def test_an_ipv6_address_counts_by_its_64(address, subject):
    assert address_subject(address) == subject


def test_a_store_that_fails_lets_nobody_in(harness, plugin, monkeypatch):
    def away():
        raise StoreUnavailable

    monkeypatch.setattr(harness.store, "versions", away)
    with pytest.raises(Problem) as refused:
        plugin.admit(harness.exchange(address="192.0.2.1"))
    assert (refused.value.code, refused.value.reason) == ("unavailable", "anomaly.store")


def test_without_an_address_or_client_nobody_is_refused(harness, plugin):
    plugin.admit(harness.exchange())
    plugin.limit(harness.exchange())


def counted(plugin):
    plugin._scorer.flush()
    found = plugin._window_store.complete(0, 1e12)
    return {subject: window for (subject, _), window in found.items()}


def test_a_request_counts_for_its_client_and_its_address(harness, plugin):
    exchange = harness.exchange(address="192.0.2.1", principal=ACME)
    exchange.status, exchange.row_count, exchange.bytes_in = 200, 3, 70
    exchange.add_event("input_validation_flagged")
    plugin.record(exchange)
    found = counted(plugin)
    assert set(found) == {"address:192.0.2.1", "client:acme"}
    assert found["client:acme"].rows == 3
    assert found["client:acme"].flagged == 1


def test_health_checks_are_nobodys_behaviour(harness, plugin):
    exchange = harness.exchange(address="192.0.2.1", policy=Policy(None, health=True))
    exchange.status = 200
    plugin.record(exchange)
    exchange.status = 404
    plugin.record(exchange)
    assert counted(plugin)["address:192.0.2.1"].requests == 1


def test_other_public_routes_are_somebodys_behaviour(harness, plugin):
    """Who signs in a thousand times, or looks at every page, is no health check."""
    exchange = harness.exchange("POST", address="192.0.2.1", policy=Policy(None, form=True))
    exchange.status = 200
    plugin.record(exchange)
    assert counted(plugin)["address:192.0.2.1"].requests == 1


def test_in_the_pipeline_a_ban_is_a_429_and_is_no_detail(harness):
    loaded = harness.load(Anomaly, {"flush_interval": "600s"})

    class Peer(Plugin):
        name = "peer"

        def admit(self, exchange):
            exchange.set_peer(address="192.0.2.1", scheme="https", host="x")

    others = [harness.load(cls) for cls in (Anonymous, Scopes)]
    http = harness.app([harness.load(Peer), loaded, *others]).test_client()
    assert http.get("/healthz").status_code == 200
    add_block(harness, loaded.plugin, "address:192.0.2.1", "ban", harness.clock() + 60)
    answer = http.get("/healthz")
    assert answer.status_code == 429
    assert answer.json["code"] == "anomaly.banned"
    assert "192.0.2.1" not in answer.text
    loaded.plugin._scorer._stopping.set()


def test_an_action_is_reported_with_its_reasons(harness, plugin):
    reasons = [list(Reason("missing", 1.0, 0.0, 0.01))]
    score = SubjectScore("client:acme", 0.0, 0.81234, 3, reasons)
    plugin._report(Action(score, alert=True, block=None))
    [event] = harness.emitted
    assert (event.name, event.client) == ("anomaly_detected", "acme")
    assert event.facts["reasons"] == "missing 1.00 (usually 0.00 to 0.01)"
    assert event.facts["score"] == 0.812


def test_blocks_are_measured(harness, plugin):
    add_block(harness, plugin, "client:acme", "hold")
    assert [(m.name, m.value, m.labels) for m in plugin.measures()] == [
        ("anomaly_blocks", 1, {"kind": "hold"}),
        ("anomaly_blocks", 0, {"kind": "ban"}),
    ]


def test_what_was_trained_is_used_and_its_age_shown(harness):
    (harness.folder / "anomaly").mkdir()
    file = harness.folder / "anomaly" / "baseline.json"
    file.write_text(traffic.trained(300, trained_at=harness.clock() - 50).to_json())
    ages = [m.value for m in harness.build(Anomaly).measures() if m.name.endswith("age_seconds")]
    assert ages == [50.0]


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"rows": []})])
def test_a_damaged_file_stops_the_start(harness, text):
    (harness.folder / "anomaly").mkdir()
    (harness.folder / "anomaly" / "baseline.json").write_text(text)
    with pytest.raises(ConfigError, match="secureml anomaly train"):
        harness.build(Anomaly)


@pytest.mark.parametrize(
    "table",
    [
        {"client_action": "shout"},
        {"patience": 0},
        {"window": "0s"},
        {"min_requests": 0},
        {"ban_duration": "0s"},
        {"unknown": 1},
    ],
)
def test_a_setting_that_makes_no_sense_stops_the_start(harness, table):
    with pytest.raises(ConfigError):
        harness.build(Anomaly, table)


def test_an_attack_through_the_pipeline_ends_in_a_ban(harness):
    """From the first scan to the refusal, with what was trained on customers."""
    (harness.folder / "anomaly").mkdir()
    file = harness.folder / "anomaly" / "baseline.json"
    file.write_text(traffic.trained(500).to_json())
    loaded = harness.load(
        Anomaly, {"address_action": "ban", "flush_interval": "600s", "window": "10m"}
    )

    class Peer(Plugin):
        name = "peer"

        def admit(self, exchange):
            exchange.set_peer(address="192.0.2.1", scheme="https", host="x")

    others = [harness.load(cls) for cls in (Anonymous, Scopes)]
    http = harness.app([harness.load(Peer), loaded, *others]).test_client()
    loaded.plugin._scorer.score_windows()
    for _ in range(3):
        harness.clock.advance(600)
        for number in range(60):
            assert http.get(f"/admin/{number}").status_code == 404
        loaded.plugin._scorer.flush()
    harness.clock.advance(3 * 600)
    loaded.plugin._scorer.score_windows()
    assert http.get("/admin/61").status_code == 429
    facts = [
        event.facts for event in harness.emitted if event.facts["subject"].startswith("address")
    ]
    assert [each["action"] for each in facts] == ["alert", "alert", "ban"]
    assert "missing" in facts[0]["reasons"]
    loaded.plugin._scorer._stopping.set()


def test_rows_are_compared_with_the_card(harness, demo_instance):
    """Through the pipeline, with a sealed model: the one feature that moved is measured first."""
    shutil.copytree(demo_instance / "models", harness.folder / "models")
    harness.models = Registry(harness.folder / "models")
    harness.models.load_all()
    card = harness.models.card("breast-cancer")
    loaded = harness.load(Anomaly, {"flush_interval": "600s"})
    http = harness.app([loaded, harness.load(Anonymous), harness.load(Scopes)]).test_client()
    rng = np.random.default_rng(0)
    edges = np.array(bins_of(card).edges)
    rows = [
        [float(rng.choice(edges[column])) for column in range(len(card.features))]
        for _ in range(300)
    ]
    for row in rows:
        row[4] = float(edges[4][-1] * 3)
    answer = http.post("/v1/models/breast-cancer/predict", json={"instances": rows})
    assert answer.status_code == 200, answer.json
    loaded.plugin._write_counters()
    found = [m for m in loaded.plugin.measures() if m.name == "anomaly_drift_psi"]
    assert found[0].labels == {"model": "breast-cancer", "feature": card.features[4].name}
    assert found[0].value > 2
    loaded.plugin._scorer._stopping.set()
