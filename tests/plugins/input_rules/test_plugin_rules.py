"""A card's rules and the operator's settings in the phase: refused, clipped, flagged, and told."""

from __future__ import annotations

import gzip
import json

import joblib
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from plugins.anonymous.plugin import Anonymous
from plugins.errors.plugin import Errors
from plugins.input_rules.plugin import InputRules
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Exchange, Plugin
from secureml.testing import Harness
from tests.made_models import seal_file

PREDICT = "/v1/models/sum/predict"
RULES = """
[[rules]]
name = "order"
rule = "a <= b"

[[rules]]
name = "near"
rule = "a in range"
action = "clip"

[[rules]]
name = "odd"
rule = "b != 7"
action = "flag"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that adds a (0 to 10) and b (10 to 40), sealed with rules."""
    folder = tmp_path_factory.mktemp("sum")
    rows = [[n, 10 + n * 7 % 11 * 3] for n in range(11)]
    joblib.dump(LinearRegression().fit(rows, [a + b for a, b in rows]), folder / "sum.joblib")
    (folder / "sum.csv").write_text("a,b\n" + "".join(f"{a}.0,{b}.0\n" for a, b in rows))
    (folder / "rules.toml").write_text(RULES)
    seal_file(
        folder / "sum.joblib",
        folder / "models",
        name="sum",
        data=folder / "sum.csv",
        rules=folder / "rules.toml",
    )
    return folder


@pytest.fixture(scope="module")
def harness(folder):
    harness = Harness(folder)
    harness.models.load_all()
    return harness


class Ear(Plugin):
    """Keeps what recorders would read."""

    name = "ear"
    heard: list = []

    def record(self, exchange: Exchange) -> None:
        self.heard[:] = [(event.name, dict(event.facts)) for event in exchange.events]


def caller(harness, table=None):
    """Return a client of an app with this table."""
    plugins = [Anonymous, Scopes, Errors, Ear]
    Ear.heard.clear()
    return harness.app([*map(harness.load, plugins), harness.load(InputRules, table)]).test_client()


def ask(harness, *rows, table=None):
    return caller(harness, table).post(PREDICT, json={"instances": list(rows)})


def predictions(answer):
    assert answer.status_code == 200, answer.text
    return [round(number, 6) for number in answer.json["predictions"]]


def test_a_row_that_keeps_every_rule_is_answered_without_a_word(harness):
    answer = ask(harness, [1, 11], {"b": 12, "a": 2})

    assert predictions(answer) == [12, 14]
    assert set(answer.json) == {"predictions", "model", "id"}
    assert Ear.heard == []


def test_a_row_that_breaks_a_rule_is_refused_at_its_place(harness):
    answer = ask(harness, [1, 11], [10.5, 10])

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert answer.json["errors"] == [{"path": "/instances/1", "rule": "rule:order"}]
    assert "10.5" not in answer.text


def test_the_model_is_asked_about_the_clipped_row_and_the_caller_is_told(harness):
    """The range of a is 0 to 10, and a tenth of it more at either end."""
    answer = ask(harness, [1, 20], {"a": 99, "b": 20})

    assert predictions(answer) == [21, 31]
    assert answer.json["warnings"] == [
        {"path": "/instances/1/a", "rule": "above_maximum", "action": "clipped"}
    ]
    assert answer.json["warning_count"] == 1
    assert Ear.heard == [
        ("input_validation_fail", {"action": "clipped", "count": 1, "rules": "above_maximum"})
    ]


def test_a_flagged_row_is_answered_as_it_is_and_told(harness):
    answer = ask(harness, [1, 7], table={"range_margin": 1})

    assert predictions(answer) == [8]
    assert answer.json["warnings"] == [
        {"path": "/instances/0/1", "rule": "rule:odd", "action": "flagged"}
    ]


def test_at_most_twenty_warnings_are_told_and_all_are_counted(harness):
    answer = ask(harness, *[[99, 20]] * 50, *[[1, 7]] * 50, table={"range_margin": 1})

    assert len(answer.json["warnings"]) == 20
    assert answer.json["warning_count"] == 100
    assert sum(facts["count"] for _, facts in Ear.heard) == 100


def test_a_refused_request_is_not_told_what_would_have_been_clipped(harness):
    answer = ask(harness, [99, 20], [10, 9.9])

    assert answer.status_code == 422
    assert "warnings" not in answer.json
    assert Ear.heard == []


def test_a_plugin_that_only_observes_clips_nothing(harness):
    """It never changes an answer; also not for the better."""
    answer = ask(harness, [99, 20], table={"mode": "observe"})

    assert predictions(answer) == [119]
    assert "warnings" not in answer.json


@pytest.mark.parametrize(
    ("action", "status", "said"),
    [("refuse", 422, None), ("clip", 200, "clipped"), ("flag", 200, "flagged")],
)
def test_the_operator_says_what_becomes_of_a_value_beyond_its_range(harness, action, status, said):
    """Where the card does not."""
    answer = ask(harness, [1, 99], table={"ranges": action})

    assert answer.status_code == status
    if said:
        assert answer.json["warnings"][0]["action"] == said
        assert predictions(answer) == [{"clipped": 44, "flagged": 100}[said]]


def test_a_packed_question_gets_the_same_answer_where_packing_is_read(harness, monkeypatch):
    """And 415 with what is read instead, where it is not."""
    from secureml import testing
    from secureml.pipeline.body import Limits

    packed = gzip.compress(json.dumps({"instances": [[1, 11]]}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    refused = caller(harness).post(PREDICT, data=packed, headers=headers)
    assert (refused.status_code, refused.headers["Accept-Encoding"]) == (415, "identity")

    monkeypatch.setattr(testing, "Limits", lambda: Limits(gzip=True))
    client = caller(harness)
    assert predictions(client.post(PREDICT, data=packed, headers=headers)) == [12]
    cut = client.post(PREDICT, data=packed[:-9], headers=headers)
    assert (cut.status_code, cut.json["code"]) == (400, "malformed_encoding")
    bomb = client.post(PREDICT, data=gzip.compress(b" " * 10**6), headers=headers)
    assert (bomb.status_code, bomb.json["code"]) == (413, "body_expands")


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**400), 10**400)
cells = numbers | st.none() | st.booleans() | st.text(max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example([[0.0, 1.7976931348623155e308]], "flag")  # the model's own sum overflows
@given(
    st.lists(
        st.lists(cells, min_size=1, max_size=3)
        | st.fixed_dictionaries({"a": cells, "b": cells})
        | st.tuples(numbers, numbers).map(list),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["refuse", "clip", "flag"]),
)
def test_attack_whatever_rows_are_sent_they_are_answered_or_refused_as_input(harness, rows, action):
    """Overflows in rules, numbers beyond a double, mixed kinds: never a fault of ours."""
    body = json.dumps({"instances": rows})
    answer = caller(harness, {"ranges": action}).post(
        PREDICT, data=body, content_type="application/json"
    )

    assert answer.status_code in (200, 400, 422), answer.text
    for fault in answer.json.get("errors", []) + answer.json.get("warnings", []):
        assert fault["path"].startswith("/instances")


@pytest.mark.parametrize(
    "table",
    [
        {"ranges": "drop"},
        {"long_text": True},
        {"control_characters": ""},
        {"text_length": 0},
        {"text_length": "10"},
    ],
)
def test_an_action_that_is_none_stops_the_start(tmp_path, table):
    with pytest.raises(ConfigError, match=rf"^\[plugins\.input_rules\] {next(iter(table))}: "):
        Harness(tmp_path).build(InputRules, table)
