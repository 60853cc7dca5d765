"""In the phases: who is kept out is refused, everybody else is counted, and fairly named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from plugins.anomaly.bars import Bar
from plugins.anomaly.baseline import Reason
from plugins.anomaly.guard import Deed
from plugins.anomaly.ledger import Standing
from plugins.anomaly.plugin import Anomaly, address_subject
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
def guard(harness):
    made = harness.build(Anomaly, {"flush": "600s"})
    yield made
    made._watcher._over.set()


def keep_out(harness, guard, subject, kind, until=None):
    with harness.store.begin() as connection:
        guard._bars.set(connection, Bar(subject, kind, 0.0, until, "why"), 0.0)


def test_a_banned_address_is_told_when_to_come_back(harness, guard):
    keep_out(harness, guard, "address:192.0.2.1", "ban", harness.clock() + 59.5)
    with pytest.raises(Problem) as refused:
        guard.admit(harness.exchange(address="192.0.2.1"))
    assert refused.value.code == "anomaly.banned"
    assert refused.value.headers["Retry-After"] == "60"
    guard.admit(harness.exchange(address="192.0.2.2"))
    harness.clock.advance(60)
    guard.admit(harness.exchange(address="192.0.2.1"))


def test_a_held_client_is_refused_from_every_address(harness, guard):
    keep_out(harness, guard, "client:acme", "hold")
    for address in ("192.0.2.1", "198.51.100.7"):
        exchange = harness.exchange(address=address, principal=ACME)
        guard.admit(exchange)
        with pytest.raises(Problem, match=r"anomaly\.held"):
            guard.limit(exchange)


def test_the_neighbours_in_a_64_are_one_and_others_are_not(harness, guard):
    keep_out(harness, guard, address_subject("2001:db8:1:2::1"), "ban", harness.clock() + 60)
    with pytest.raises(Problem):
        guard.admit(harness.exchange(address="2001:db8:1:2:ffff::9"))
    guard.admit(harness.exchange(address="2001:db8:1:3::1"))


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.1", "address:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "address:::ffff:192.0.2.1"),
        ("not:an:address", "address:not:an:address"),
    ],
)
def test_addresses_are_named_as_their_owners_have_them(address, subject):
    assert address_subject(address) == subject


def test_a_store_that_is_away_lets_nobody_in(harness, guard, monkeypatch):
    def away():
        raise StoreUnavailable

    monkeypatch.setattr(harness.store, "versions", away)
    with pytest.raises(Problem) as refused:
        guard.admit(harness.exchange(address="192.0.2.1"))
    assert (refused.value.code, refused.value.reason) == ("unavailable", "anomaly.store")


def test_before_an_address_is_known_nobody_is_asked(harness, guard):
    guard.admit(harness.exchange())
    guard.limit(harness.exchange())


def counted(guard):
    guard._watcher.flush()
    found = guard._ledger.whole(0, 1e12)
    return {subject: window for (subject, _), window in found.items()}


def test_a_request_counts_for_its_client_and_its_address(harness, guard):
    exchange = harness.exchange(address="192.0.2.1", principal=ACME)
    exchange.status, exchange.row_count, exchange.bytes_in = 200, 3, 70
    exchange.add_event("input_validation_flagged")
    guard.record(exchange)
    found = counted(guard)
    assert set(found) == {"address:192.0.2.1", "client:acme"}
    assert found["client:acme"].rows == 3
    assert found["client:acme"].flagged == 1


def test_health_checks_are_nobodys_behaviour(harness, guard):
    exchange = harness.exchange(address="192.0.2.1", policy=Policy(None, health=True))
    exchange.status = 200
    guard.record(exchange)
    exchange.status = 404
    guard.record(exchange)
    assert counted(guard)["address:192.0.2.1"].requests == 1


def test_other_public_routes_are_somebodys_behaviour(harness, guard):
    """Who signs in a thousand times, or looks at every page, is no health check."""
    exchange = harness.exchange("POST", address="192.0.2.1", policy=Policy(None, form=True))
    exchange.status = 200
    guard.record(exchange)
    assert counted(guard)["address:192.0.2.1"].requests == 1


def test_in_the_pipeline_a_ban_is_a_429_and_is_no_detail(harness):
    guard = harness.load(Anomaly, {"flush": "600s"})

    class Peer(Plugin):
        name = "peer"

        def admit(self, exchange):
            exchange.set_peer(address="192.0.2.1", scheme="https", host="x")

    others = [harness.load(cls) for cls in (Anonymous, Scopes)]
    http = harness.app([harness.load(Peer), guard, *others]).test_client()
    assert http.get("/healthz").status_code == 200
    keep_out(harness, guard.plugin, "address:192.0.2.1", "ban", harness.clock() + 60)
    answer = http.get("/healthz")
    assert answer.status_code == 429
    assert answer.json["code"] == "anomaly.banned"
    assert "192.0.2.1" not in answer.text
    guard.plugin._watcher._over.set()


def test_a_deed_is_told_with_its_reasons(harness, guard):
    reasons = [list(Reason("missing", 1.0, 0.0, 0.01))]
    guard._tell(Deed(Standing("client:acme", 0.0, 0.81234, 3, reasons), emitted=True, bar=None))
    [event] = harness.emitted
    assert (event.name, event.client) == ("anomaly_detected", "acme")
    assert event.facts["why"] == "missing 1.00 (usually 0.00 to 0.01)"
    assert event.facts["score"] == 0.812


def test_what_is_measured(harness, guard):
    keep_out(harness, guard, "client:acme", "hold")
    assert [(m.name, m.value, m.labels) for m in guard.measures()] == [
        ("anomaly_bars", 1, {"kind": "hold"}),
        ("anomaly_bars", 0, {"kind": "ban"}),
    ]


def test_what_was_trained_is_used_and_its_age_shown(harness):
    (harness.folder / "anomaly").mkdir()
    file = harness.folder / "anomaly" / "baseline.json"
    file.write_text(traffic.trained(300, made=harness.clock() - 50).to_json())
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
        {"client": "shout"},
        {"patience": 0},
        {"window": "0s"},
        {"least": 0},
        {"ban_for": "0s"},
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
    guard = harness.load(Anomaly, {"address": "ban", "flush": "600s", "window": "10m"})

    class Peer(Plugin):
        name = "peer"

        def admit(self, exchange):
            exchange.set_peer(address="192.0.2.1", scheme="https", host="x")

    others = [harness.load(cls) for cls in (Anonymous, Scopes)]
    http = harness.app([harness.load(Peer), guard, *others]).test_client()
    guard.plugin._watcher.judge()
    for _ in range(3):
        harness.clock.advance(600)
        for number in range(60):
            assert http.get(f"/admin/{number}").status_code == 404
        guard.plugin._watcher.flush()
    harness.clock.advance(3 * 600)
    guard.plugin._watcher.judge()
    assert http.get("/admin/61").status_code == 429
    emitted = [
        event.facts for event in harness.emitted if event.facts["subject"].startswith("address")
    ]
    assert [facts["act"] for facts in emitted] == ["alert", "alert", "ban"]
    assert "missing" in emitted[0]["why"]
    guard.plugin._watcher._over.set()


def test_what_is_asked_is_compared_with_the_card(harness, demo_instance):
    """Through the pipeline, with a sealed model: the one feature that moved is measured first."""
    shutil.copytree(demo_instance / "models", harness.folder / "models")
    harness.models = Registry(harness.folder / "models")
    harness.models.load_all()
    card = harness.models.card("breast-cancer")
    guard = harness.load(Anomaly, {"flush": "600s"})
    http = harness.app([guard, harness.load(Anonymous), harness.load(Scopes)]).test_client()
    dice = np.random.default_rng(0)
    edges = np.array(card.reference.bins)
    rows = [
        [float(dice.choice(edges[column])) for column in range(len(card.features))]
        for _ in range(300)
    ]
    for row in rows:
        row[4] = float(edges[4][-1] * 3)
    answer = http.post("/v1/models/breast-cancer/predict", json={"instances": rows})
    assert answer.status_code == 200, answer.json
    guard.plugin._write_tally()
    found = [m for m in guard.plugin.measures() if m.name == "anomaly_drift_psi"]
    assert found[0].labels == {"model": "breast-cancer", "feature": card.features[4].name}
    assert found[0].value > 2
    guard.plugin._watcher._over.set()
