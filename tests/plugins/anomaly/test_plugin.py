"""Who is blocked is refused; everybody else is counted, by client and by address."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from plugins.anomaly.baseline import Reason
from plugins.anomaly.blocks import Block
from plugins.anomaly.decision import Action
from plugins.anomaly.drift_counts import BinsKey
from plugins.anomaly.feature_bins import bins_of
from plugins.anomaly.plugin import MAX_FEATURES, Anomaly, address_subject, observation
from plugins.anomaly.window_store import SubjectScore
from plugins.anonymous.plugin import Anonymous
from plugins.scopes.plugin import Scopes
from secureml import (
    ConfigError,
    ModelRefused,
    Plugin,
    Policy,
    Principal,
    Problem,
    Result,
    StoreUnavailable,
)
from secureml.kit.cards import Feature, Section
from secureml.models.serving.registry import Registry
from secureml.testing import Harness
from tests import anomaly_traffic as traffic
from tests.made_card import card

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


def test_a_ban_that_is_over_because_the_clock_was_set_back_lets_the_address_in(harness, plugin):
    start = harness.clock()
    with harness.store.begin() as connection:
        block = Block("address:192.0.2.1", "ban", start, start + 900, "reason")
        plugin._blocks.add(connection, block, 0.0)
    exchange = harness.exchange(address="192.0.2.1")
    with pytest.raises(Problem):
        plugin.admit(exchange)
    harness.clock.advance(-86400)
    plugin.admit(exchange)


def test_no_ban_tells_a_caller_to_wait_longer_than_it_was_to_last(harness, plugin):
    start = harness.clock()
    with harness.store.begin() as connection:
        block = Block("address:192.0.2.1", "ban", start, start + 900, "reason")
        plugin._blocks.add(connection, block, 0.0)
    for back in (0, 5, 5):
        harness.clock.advance(-back)
        with pytest.raises(Problem) as refused:
            plugin.admit(harness.exchange(address="192.0.2.1"))
        assert int(refused.value.headers["Retry-After"]) <= 900 + 10 + 1


def test_a_client_that_is_banned_is_refused_at_limit_and_not_at_admit(harness, plugin):
    add_block(harness, plugin, "client:acme", "ban", harness.clock() + 60)
    exchange = harness.exchange(address="192.0.2.1", principal=ACME)
    plugin.admit(exchange)
    with pytest.raises(Problem, match=r"anomaly\.banned"):
        plugin.limit(exchange)


def test_attack_a_client_named_like_an_address_is_no_address(harness, plugin):
    """The two kinds of subject never meet, whatever a client is called."""
    add_block(harness, plugin, "client:192.0.2.1", "hold")
    plugin.admit(harness.exchange(address="192.0.2.1"))


@pytest.mark.parametrize(
    ("subject", "client"),
    [("client:acme", "acme"), ("address:192.0.2.1", ""), ("address:client:x", "")],
)
def test_an_event_names_a_client_only_where_the_subject_is_one(harness, plugin, subject, client):
    plugin._report(Action(SubjectScore(subject, 0.0, 0.8, 1, []), alert=True, block=None))
    assert harness.emitted[0].client == client


@pytest.mark.parametrize("kind", ["hold", "ban"])
def test_the_event_of_a_block_says_which(harness, plugin, kind):
    block = Block("client:acme", kind, 0.0, None, "reason")
    plugin._report(Action(SubjectScore("client:acme", 0.0, 0.8, 3, []), alert=True, block=block))
    assert harness.emitted[0].facts["action"] == kind


def test_an_answer_of_numbers_has_no_labels_and_one_of_classes_has(harness):
    exchange = harness.exchange(address="192.0.2.1")
    exchange.status = 200
    exchange.result = Result([1.5, 2.5])
    assert list(observation(exchange).labels) == []
    exchange.result = Result([0, 1], classes=[0, 1])
    assert list(observation(exchange).labels) == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        b"\xff\xfe",
        '{"features": [], "features": []}',
        json.dumps({"features": None, "rows": [], "trained_at": 0, "false_alarms": 0}),
    ],
    ids=["nested", "no text", "twice", "other"],
)
def test_a_file_that_is_no_baseline_is_one_line_with_its_name_and_a_fix_that_works(harness, text):
    (harness.folder / "anomaly").mkdir()
    file = harness.folder / "anomaly" / "baseline.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as refused:
        harness.build(Anomaly)
    assert str(file) in str(refused.value)
    assert "fix: remove the file" in str(refused.value)
    assert "\n" not in str(refused.value)
    file.unlink()
    harness.build(Anomaly)


def test_a_file_that_cannot_be_opened_is_not_called_damaged(harness):
    """Removing it would lose the training; it only has to be made readable."""
    (harness.folder / "anomaly" / "baseline.json").mkdir(parents=True)
    with pytest.raises(ConfigError) as refused:
        harness.build(Anomaly)
    assert "remove" not in str(refused.value)
    assert "readable" in str(refused.value)


def test_the_background_knows_what_an_outage_of_the_store_is(plugin, monkeypatch, caplog):
    def away(*args, **options):
        raise StoreUnavailable("the store cannot be read (OperationalError)")

    monkeypatch.setattr(plugin._window_store, "write", away)
    plugin._scorer.run_once()
    [record] = caplog.records
    assert record.exc_info is None


def test_rows_that_could_not_be_written_are_written_later(harness, plugin, monkeypatch):
    taken = {BinsKey("m", "1:x"): np.ones((1, 8), dtype=np.int64)}
    plugin._counters.put_back(taken)

    def away(counts):
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(plugin._drift, "add", away)
        with pytest.raises(StoreUnavailable):
            plugin._write_counters()
    plugin._write_counters()
    assert plugin._drift.total(BinsKey("m", "1:x"), (1, 8)).sum() == 8
    assert plugin._counters.take() == {}


def test_a_forked_worker_does_not_write_the_rows_that_its_parent_counted(plugin):
    plugin._counters.put_back({BinsKey("m", "1:x"): np.ones((1, 8), dtype=np.int64)})
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(len(plugin._counters.take())).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"0"
    assert len(plugin._counters.take()) == 1


class Models:
    """A registry from which a model is removed while the metrics are read."""

    def names(self):
        return ["gone", "there"]

    def get(self, name):
        return None

    def card(self, name):
        if name == "gone":
            raise ModelRefused("missing", "there is no model 'gone'", "see models list")
        return CARD


BINS = Section(private={"columns": [0], "edges": [[float(number) for number in range(7)]]})
CARD = replace(card(Feature("a")), sections={"anomaly": BINS})


def test_a_model_that_was_removed_leaves_the_numbers_of_all_others(harness):
    harness.models = Models()
    built = harness.build(Anomaly, {"flush_interval": "600s"})
    built._counters.count("there", CARD.version, CARD, np.full((300, 1), 9.0))
    built._write_counters()
    found = {(m.name, m.labels.get("model")) for m in built.measures()}
    assert found == {("anomaly_blocks", None), ("anomaly_drift_psi", "there")}


def test_drift_of_many_features_has_bounded_labels_and_the_largest_come_first(harness):
    names = [Feature(f"f{number}") for number in range(MAX_FEATURES + 10)]
    edges = [[float(n) for n in range(7)]] * len(names)
    written = {"columns": list(range(len(names))), "edges": edges}
    wide = replace(card(*names), sections={"anomaly": Section(private=written)})
    harness.models = Models()
    harness.models.names = lambda: ["there"]
    harness.models.card = lambda name: wide
    built = harness.build(Anomaly, {"flush_interval": "600s"})
    rows = np.tile(np.linspace(-1, 7, 300)[:, None], (1, len(names)))
    rows[:, 25] = 99.0
    built._counters.count("there", wide.version, wide, rows)
    built._write_counters()
    found = [m for m in built.measures() if m.name == "anomaly_drift_psi"]
    assert len(found) == MAX_FEATURES
    assert found[0].labels["feature"] == "f25"
    assert [m.value for m in found] == sorted((m.value for m in found), reverse=True)
