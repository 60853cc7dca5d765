"""Explanations over sealed models and the real phases: what each caller gets, and what it costs."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.svm import LinearSVC

from plugins.access_log.plugin import AccessLog
from plugins.errors.plugin import Errors
from plugins.explain.plugin import Explain
from plugins.input_rules.plugin import InputRules
from plugins.metrics.plugin import Metrics
from plugins.output_rules.plugin import OutputRules
from plugins.rate_limit.plugin import RateLimit
from plugins.scopes.plugin import Scopes
from plugins.theft_guard.plugin import TheftGuard
from plugins.uncertainty.plugin import Uncertainty
from secureml import ConfigError, Exchange, Plugin, Principal
from secureml.testing import Clock, Harness
from tests.made_models import seal_estimator


def drawn(seed, rows):
    """Return rows of three columns; a plugin may see no generator, so none is kept."""
    return np.random.default_rng(seed).normal(size=(rows, 3))


TABLE = drawn(0, 300)
NUMBERS = TABLE @ [2.0, -1.0, 0.5] + 7
KINDS = np.where(NUMBERS > 7, "high", "low")
CSV = "a,b,c\n" + "\n".join(",".join(map(repr, row)) for row in TABLE.tolist()) + "\n"
ROWS = TABLE[:2].tolist()
MODELS = {"models": ["kinds", "amount", "hard", "bare"]}


class Named(Plugin):
    """Names the caller that the test wants."""

    name = "named"
    principal = Principal(
        "ward-7", "ward-7", frozenset({"explain"}), frozenset({"*"}), "", "named", "1"
    )

    def identify(self, exchange: Exchange) -> Principal:
        scopes = exchange.request.headers.get("Scopes", "explain predict")
        models = exchange.request.headers.get("Models", "*")
        return replace(
            self.principal, scopes=frozenset(scopes.split()), models=frozenset(models.split())
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a classifier, a regressor, one without probabilities, one without a table."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "run" / "metrics").mkdir(parents=True)
    (folder / "store").mkdir()
    (folder / "logs").mkdir()
    for name, model, answers, table in (
        ("kinds", RandomForestClassifier(20, random_state=0), KINDS, CSV),
        ("amount", LinearRegression(), NUMBERS, CSV),
        ("other", LinearRegression(), NUMBERS, CSV),
        ("hard", LinearSVC(), KINDS, CSV),
        ("bare", LinearRegression(), NUMBERS, None),
    ):
        seal_estimator(folder, model.fit(TABLE, answers), name, table=table)
    return folder


@pytest.fixture(scope="module")
def harness(folder):
    harness = Harness(folder)
    harness.models.load_all()
    return harness


def ask(
    harness, model="kinds", table=None, before=(), rows=ROWS, route="explain", body=None, **headers
):
    """Return the answer to one question, with these plugins before `explain`."""
    app = served(harness, table, before)
    path = f"/v1/models/{model}/{route}"
    return app.test_client().post(path, json=body or {"instances": rows}, headers=headers)


def served(harness, table=None, before=()):
    loaded = [harness.load(*(each if type(each) is tuple else (each,))) for each in before]
    explain = harness.load(Explain, {**MODELS, **(table or {})})
    return harness.app(
        [harness.load(Named), harness.load(Scopes), *loaded, explain, harness.load(Errors)]
    )


def test_an_explanation_adds_up_to_the_probability_of_the_predicted_class(harness):
    said = ask(harness).json
    predicted = ask(harness, route="predict").json
    classes = harness.models.get("kinds").card.classes

    assert {key: said[key] for key in ("predictions", "probabilities", "model")} == {
        key: predicted[key] for key in ("predictions", "probabilities", "model")
    }
    for place, each in enumerate(said["explanations"]):
        label = said["predictions"][place]
        assert each["class"] == label
        assert each["value"] == said["probabilities"][place][classes.index(label)]
        assert each["base"] + sum(each["attributions"]) == pytest.approx(each["value"])
        assert len(each["attributions"]) == 3


def test_a_regressor_is_explained_by_its_number(harness):
    said = ask(harness, "amount").json
    for number, each in zip(said["predictions"], said["explanations"], strict=True):
        assert "class" not in each
        assert each["value"] == pytest.approx(number)
        assert each["base"] + sum(each["attributions"]) == pytest.approx(number)


def test_attack_a_client_with_the_right_to_predict_alone_is_refused(harness):
    said = ask(harness, Scopes="predict models:read")
    assert (said.status_code, said.json["code"]) == (403, "forbidden")
    assert ask(harness, Scopes="explain", Models="amount").status_code == 403
    assert ask(harness, "amount", Scopes="explain", Models="amount").status_code == 200
    assert ask(harness, Scopes="explain", route="predict").status_code == 403


@pytest.mark.parametrize("model", ["other", "hard", "bare"])
def test_a_model_that_is_not_listed_or_cannot_be_has_no_explanations(harness, model):
    said = ask(harness, model)
    assert (said.status_code, said.json["code"]) == (404, "explain.not_offered")
    assert ask(harness, model, route="predict").status_code == 200


def test_an_unknown_model_is_not_found(harness):
    assert ask(harness, "nothing").json["code"] == "not_found"


def test_too_many_rows_are_refused_before_any_is_looked_at(harness):
    said = ask(harness, table={"max_rows": 2}, rows=[["not even a number"]] * 3)
    assert (said.status_code, said.json["code"]) == (422, "too_many_rows")
    assert ask(harness, table={"max_rows": 2}).status_code == 200


ODD = ({"instances": ROWS, "more": 1}, {"instances": []}, {"instances": "x"}, {"instances": [[1]]})


@pytest.mark.parametrize("body", [{"rows": ROWS}, *ODD])
def test_a_body_that_is_no_question_is_refused_as_that_of_a_prediction(harness, body):
    here, there = (ask(harness, body=body, route=route) for route in ("explain", "predict"))
    assert here.status_code == there.status_code == 422
    assert here.json["errors"] == there.json["errors"]


def test_rows_pass_the_rules_of_input(harness):
    far = [[1e6, 0.0, 0.0]]
    assert ask(harness, rows=far, before=[InputRules]).status_code == 422
    said = ask(harness, "amount", rows=far, before=[(InputRules, {"ranges": "clip"})]).json
    # It is explained what the model was asked about.
    assert said["warnings"][0]["action"] == "clipped"
    assert said["explanations"][0]["value"] == pytest.approx(said["predictions"][0])


def rules(**words):
    return (OutputRules, {"grants": [{"client": "ward-7", **words}]})


def test_attack_a_caller_who_sees_labels_alone_gets_no_probability_by_its_parts(harness):
    said = ask(harness, before=[rules(answer="labels")])
    assert (said.status_code, said.json["code"]) == (403, "explain.withheld")
    assert "explanations" not in said.json
    assert ask(harness, before=[rules(answer="labels")], route="predict").status_code == 200


def test_a_caller_who_sees_the_highest_probability_gets_the_explanation_of_it(harness):
    said = ask(harness, before=[rules(answer="probabilities", top=1)]).json
    for row, each in zip(said["probabilities"], said["explanations"], strict=True):
        assert [share for share in row if share is not None] == [each["value"]]


@pytest.mark.parametrize("model", ["kinds", "amount"])
def test_attack_numbers_that_are_rounded_are_not_given_back_by_their_parts(harness, model):
    said = ask(harness, model, before=[(OutputRules, {"decimals": 1})]).json
    for each in said["explanations"]:
        numbers = [each["base"], each["value"], *each["attributions"]]
        assert numbers == [round(number, 1) for number in numbers]


def test_attack_who_copies_the_model_by_explanations_is_noticed_and_gets_none(harness):
    """Rows that are explained are assessed as those of predictions, and answers made coarse."""
    guard = (TheftGuard, {"actions": ["coarsen"], "coarsening": "labels", "file": "store/t"})
    client = served(harness, {"max_rows": 500}, [guard, OutputRules]).test_client()
    copied = (40 * drawn(1, 200)).tolist()
    said = client.post("/v1/models/kinds/explain", json={"instances": copied})
    assert (said.status_code, said.json["code"]) == (403, "explain.withheld")
    later = client.post("/v1/models/kinds/predict", json={"instances": ROWS})
    assert "probabilities" not in later.json


def test_attack_a_client_that_is_held_gets_no_explanations(folder, tmp_path):
    shutil.copytree(folder / "models", tmp_path / "models")  # a hold is kept in the store
    (tmp_path / "store").mkdir()
    harness = Harness(tmp_path)
    harness.models.load_all()
    guard = (TheftGuard, {"actions": ["hold"], "file": "store/h"})
    client = served(harness, {"max_rows": 500}, [guard]).test_client()
    copied = (40 * drawn(2, 400)).tolist()
    assert client.post("/v1/models/kinds/explain", json={"instances": copied}).status_code == 403
    said = client.post("/v1/models/kinds/explain", json={"instances": ROWS})
    assert said.json["code"] == "theft_guard.held"


def test_an_explanation_costs_what_is_set_in_requests_and_in_rows(harness):
    def limit(unit, limit):
        table = {
            "limits": [{"name": unit, "for": "client", "unit": unit, "allow": limit}],
            "counters": f"store/{unit}.counters",
        }
        return served(harness, {"cost": 5}, [(RateLimit, table)]).test_client()

    for unit, first, each in (("requests", 5, 1), ("rows", 10, 2)):
        client = limit(unit, f"{first + 2 * each} per hour")
        path = "/v1/models/amount/"
        assert client.post(f"{path}explain", json={"instances": ROWS}).status_code == 200
        said = client.post(f"{path}explain", json={"instances": ROWS})
        assert said.json["code"] == "rate_limited"
        for _ in range(2):
            assert client.post(f"{path}predict", json={"instances": ROWS}).status_code == 200
        assert client.post(f"{path}predict", json={"instances": ROWS}).status_code == 429


class Ticking(Clock):
    """A clock on which a second goes by at each look."""

    def __call__(self) -> float:
        self.advance(1)
        return super().__call__()


def test_it_ends_at_its_time_and_says_so(folder):
    hurried = Harness(folder, clock=Ticking())
    hurried.models.load_all()
    said = ask(hurried, table={"time_limit": "1s"}, rows=ROWS * 2)
    assert (said.status_code, said.json["code"]) == (503, "explain.too_slow")
    assert ask(hurried, table={"time_limit": "1m"}, rows=ROWS * 2).status_code == 200


def test_it_is_counted_and_written_down_as_a_prediction(harness):
    log = harness.folder / "logs" / "explain.jsonl"
    recorders = [Metrics, (AccessLog, {"file": "logs/explain.jsonl"})]
    app = served(harness, None, recorders)
    client = app.test_client()
    assert client.post("/v1/models/kinds/explain", json={"instances": ROWS}).status_code == 200
    line = json.loads(log.read_text().splitlines()[-1])
    text = client.get("/metrics", headers={"Scopes": "metrics"}).text

    assert (line["model"], line["rows"], line["status"]) == ("kinds", 2, 200)
    assert 'secureml_rows_total{model="kinds",version="1"} 2.0' in text
    assert 'route="/v1/models/<model>/explain"' in text


def test_what_is_known_of_the_uncertainty_stands_beside_it(harness, folder):
    pytest.importorskip("crepes", reason="pip install --require-hashes -r tests/requirements.txt")
    seal_estimator(
        folder,
        LinearRegression().fit(TABLE, NUMBERS),
        "sure",
        table=CSV,
        options={"uncertainty": {"calibrate": held(folder)}},
    )
    harness.models.load_all()
    said = ask(
        harness, "sure", {"models": ["sure"]}, before=[(Uncertainty, {"models": ["sure"]})]
    ).json
    assert said["intervals"]
    assert said["explanations"]


def held(folder):
    rows = drawn(3, 60)
    lines = [f"{a},{b},{c},{2 * a - b + 0.5 * c + 7.1}" for a, b, c in rows.tolist()]
    path = folder / "held.csv"
    path.write_text("a,b,c,answer\n" + "\n".join(lines) + "\n")
    return path


def test_at_the_start_it_is_said_which_models_cannot_be_explained(harness, caplog):
    with caplog.at_level(logging.WARNING):
        harness.build(Explain, {"models": ["kinds", "bare", "gone"]}).start_worker(2)
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "model bare has no explanations: it was sealed without --data, so no row is known to "
        "compare with; fix: take it out of [plugins.explain] models"
    )


@pytest.mark.parametrize(
    "table", [{}, {"models": []}, {**MODELS, "cost": 0}, {**MODELS, "evaluations": 10**6}]
)
def test_settings_without_a_model_or_a_bound_stop_the_start(harness, table):
    with pytest.raises(ConfigError):
        harness.load(Explain, table)


PROGRAM = """
import sys
from pathlib import Path
from plugins.errors.plugin import Errors
from plugins.explain.plugin import Explain
from plugins.anonymous.plugin import Anonymous
from plugins.scopes.plugin import Scopes
from secureml.models.serving.no_unpickling import refuse_unpickling
from secureml.testing import Clock, Harness
refuse_unpickling()
harness = Harness(Path(sys.argv[1]))
harness.models.load_all()
anonymous = harness.load(Anonymous, {"scopes": ["explain"]})
explain = harness.load(Explain, {"models": ["kinds"]})
app = harness.app([anonymous, harness.load(Scopes), explain, harness.load(Errors)])
said = app.test_client().post("/v1/models/kinds/explain", json={"instances": [[0.1, 0.2, 0.3]]})
print(said.status_code, sorted(m for m in ("numba", "llvmlite", "shap") if m in sys.modules))
"""


def test_a_process_that_refuses_every_pickle_explains(folder, harness):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout == "200 []\n", done.stderr
