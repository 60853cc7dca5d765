"""Output rules over a real sealed model: who sees how much of the same answer."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import joblib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

from plugins.anonymous.plugin import Anonymous
from plugins.errors.plugin import Errors
from plugins.output_rules.plugin import OutputRules
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Exchange, Host, Plugin, Principal
from secureml.models.artifact import signature
from secureml.models.sealing import packaging
from secureml.testing import START, Harness
from tests.data_forms import convert_here

ROWS = load_iris().data[[0, 60, 120]].tolist()
READ = frozenset({"predict"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a classifier `iris` and a regressor `width`."""
    folder = tmp_path_factory.mktemp("models")
    data = load_iris()
    models = {
        "iris": LogisticRegression(max_iter=1000).fit(data.data, data.target),
        "width": LinearRegression().fit(data.data, data.data[:, 3] / 3),
    }
    key = signature.generate_key()
    for name, model in models.items():
        joblib.dump(model, folder / f"{name}.joblib")
        packaging.seal(
            packaging.Order(folder / f"{name}.joblib", name),
            packaging.SealTarget(folder / "models", key, lambda: START, convert=convert_here),
        )
    return folder


@pytest.fixture(scope="module")
def harness(folder):
    harness = Harness(folder)
    harness.models.load_all()
    return harness


class Named(Plugin):
    """Names the caller that the test wants."""

    name = "named"
    principal = Principal("ward-7", "ward-7", READ, frozenset({"*"}), "gold", "named", "1")

    def identify(self, exchange: Exchange) -> Principal:
        scopes = exchange.request.headers.get("Scopes", "predict")
        return replace(
            self.principal,
            scopes=frozenset(scopes.split()),
            tier=exchange.request.headers.get("Tier", "gold"),
        )


def answer(harness, tables=({},), model="iris", **headers):
    """Return what a caller is told, with one plugin for each table (None: not enabled)."""
    shapers = [harness.load(OutputRules, table) for table in tables if table is not None]
    app = harness.app([harness.load(Named), harness.load(Scopes), *shapers, harness.load(Errors)])
    said = app.test_client().post(
        f"/v1/models/{model}/predict", json={"instances": ROWS}, headers=headers
    )
    assert said.status_code == 200, said.text
    return said.json


def grants(*some, **more):
    return {"grants": list(some), **more}


FULL = {"scope": "predict:full", "answer": "probabilities"}


def test_without_a_word_from_the_operator_answers_stay_as_they_are(harness):
    """To the last bit: enabling a plugin must not break clients that were promised numbers."""
    plain, shaped = answer(harness, [None]), answer(harness, [{}])

    assert plain["probabilities"] == shaped["probabilities"]
    assert plain["predictions"] == shaped["predictions"]


def test_once_somebody_is_granted_more_everybody_else_sees_labels(harness):
    """A grant to some that left all others full would be none."""
    assert "probabilities" not in answer(harness, [grants(FULL)])
    full = answer(harness, [grants(FULL)], Scopes="predict predict:full")
    assert full["probabilities"] == answer(harness, [None])["probabilities"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"otherwise": "labels"}, None),
        ({"decimals": 1}, [1.0, 0.0, 0.0]),
        (grants({"answer": "probabilities", "top": 1, "decimals": 2}), [0.98, None, None]),
        (grants({"answer": "probabilities", "decimals": 3}, decimals=1), [1.0, 0.0, 0.0]),
        (grants({"answer": "labels"}), None),
        (grants({"answer": "probabilities", "tier": "gold", "decimals": 1}), [1.0, 0.0, 0.0]),
        (grants({"answer": "probabilities", "tier": "lead"}), None),
        (grants({"answer": "probabilities", "client": "ward-7", "decimals": 1}), [1.0, 0.0, 0.0]),
        (grants({"answer": "probabilities", "client": "ward-8"}), None),
        (grants({"answer": "probabilities", "model": "iris", "decimals": 1}), [1.0, 0.0, 0.0]),
        (grants({"answer": "probabilities", "model": "width"}), None),
        (grants({"answer": "probabilities", "client": "ward-7", "tier": "lead"}), None),
        (grants({"answer": "labels", "tier": "gold"}, {"answer": "probabilities"}), None),
    ],
)
def test_the_first_grant_that_fits_the_caller_counts(harness, table, expected):
    """By scope, tier, client and model, all that are named."""
    said = answer(harness, [table])

    assert said["predictions"] == [0, 1, 2]
    assert said.get("probabilities", [None])[0] == expected


def test_a_regressors_numbers_are_rounded_and_never_withheld(harness):
    """The number is the answer."""
    exact = answer(harness, [None], "width")["predictions"]
    said = answer(harness, [{"otherwise": "labels", "decimals": 2}], "width")

    assert said["predictions"] == [round(number, 2) for number in exact]
    assert "probabilities" not in said


def test_a_caller_nobody_named_fits_no_grant(harness):
    """A public route's answer is as coarse as any."""
    plugin = harness.build(OutputRules, grants({"answer": "probabilities", "model": "iris"}))
    exchange = harness.exchange("POST", "/v1/models/iris/predict")
    exchange.model, exchange.model_name = harness.models.get("iris"), "iris"
    result = exchange.model.predict(exchange.model.read(ROWS))

    assert plugin.shape(exchange, result).probabilities is None


def finer(one, other):
    """Tell whether an answer tells more than another of the same rows."""
    mine, theirs = one.get("probabilities"), other.get("probabilities")
    if mine is None:
        return False
    if theirs is None:
        return True
    return any(
        (share is not None and was is None) or (share is not None and digits(share) > digits(was))
        for row, before in zip(mine, theirs, strict=True)
        for share, was in zip(row, before, strict=True)
    )


def digits(number):
    """Count the places a number is written with."""
    return -min(0, int(Decimal(repr(number)).normalize().as_tuple().exponent))


grant_tables = st.fixed_dictionaries(
    {"answer": st.sampled_from(["labels", "probabilities"])},
    optional={
        "scope": st.sampled_from(["predict", "predict:full"]),
        "tier": st.sampled_from(["gold", "lead"]),
        "decimals": st.integers(0, 15),
    },
)
tables = st.fixed_dictionaries(
    {},
    optional={
        "otherwise": st.sampled_from(["labels", "probabilities"]),
        "decimals": st.integers(0, 15),
        "grants": st.lists(grant_tables, max_size=3),
    },
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(tables, st.sampled_from(["predict", "predict predict:full"]))
def test_adding_the_plugin_never_makes_an_answer_finer(harness, table, scopes):
    """Whatever its table says and whoever asks."""
    try:
        harness.load(OutputRules, table)
    except ConfigError:
        return
    without, shaped = answer(harness, [None]), answer(harness, [table], Scopes=scopes)

    assert shaped["predictions"] == without["predictions"]
    assert not finer(shaped, without)


class Leak(Plugin):
    """Asks the model again and hands out everything it says."""

    name = "leak"

    def __init__(self, config: object, host: Host) -> None:
        self._models = host.models

    def shape(self, exchange, result):
        return self._models.get("iris").predict(exchange.read_rows())


@pytest.mark.parametrize("table", [{"otherwise": "labels"}, grants({"answer": "probabilities",
                                                                    "top": 1})])  # fmt: skip
def test_attack_a_plugin_that_brings_back_what_was_withheld_fails_the_request(harness, table):
    """The core holds every plugin at SHAPE to its promise, and nothing leaks."""
    plugins = [Anonymous, Scopes]
    app = harness.app(
        [*map(harness.load, plugins), harness.load(OutputRules, table), harness.load(Leak)]
    )
    said = app.test_client().post("/v1/models/iris/predict", json={"instances": ROWS})

    assert said.status_code == 500
    assert set(json.loads(said.text)) == {"code", "id"}


def test_who_only_observes_withholds_nothing_and_says_what_it_would_have(harness):
    """To try grants on live traffic first."""
    seen = []
    book = type(
        "Book",
        (Plugin,),
        {"name": "book", "record": lambda self, exchange: seen.extend(exchange.events)},
    )
    table = {"otherwise": "labels", "mode": "observe"}
    plugins = [*map(harness.load, (Anonymous, Scopes, book)), harness.load(OutputRules, table)]
    said = harness.app(plugins).test_client()
    found = said.post("/v1/models/iris/predict", json={"instances": ROWS})

    assert found.json["probabilities"]
    assert [(event.name, event.facts["plugin"]) for event in seen] == [
        ("result_change_observed", "output_rules")
    ]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"otherwise": "top"}, "otherwise"),
        ({"decimals": -1}, "decimals"),
        ({"decimals": "2"}, "decimals"),
        ({"decimal": 2}, "decimal"),
        ({"grants": [{}]}, "grants.0.answer"),
        ({"grants": [{"answer": "full"}]}, "grants.0.answer"),
        ({"grants": [{"answer": "labels", "top": 1}]}, "grants.0.top"),
        ({"grants": [{"answer": "probabilities", "top": 0}]}, "grants.0.top"),
        ({"grants": [{"answer": "labels", "scope": "Predict!"}]}, "grants.0.scope"),
        ({"grants": [{"answer": "labels"}, {"answer": "probabilities"}]}, "grants.0"),
        ({"mode": "watch"}, "mode"),
    ],
)
def test_a_table_that_cannot_mean_what_it_says_stops_the_start(tmp_path, table, key):
    """A misspelt grant would be a wide one."""
    with pytest.raises(ConfigError) as refused:
        Harness(tmp_path).build(OutputRules, table)
    assert refused.value.key == key
