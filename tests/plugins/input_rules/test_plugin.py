"""Input rules over a real sealed model: each bad input its stable code, rule and place."""

from __future__ import annotations

import gc
import gzip
import io
import json
import weakref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from plugins.anonymous.plugin import Anonymous
from plugins.errors.plugin import Errors
from plugins.input_rules.plugin import InputRules
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Problem
from secureml.testing import Harness

# Seen in training: sepal length 4.3 to 7.9, sepal width 2.0 to 4.4, petal length 1.0 to 6.9,
# petal width 0.1 to 2.5. With the margin of a tenth, petal width may go from -0.14 to 2.74.
GOOD = [5.1, 3.5, 1.4, 0.2]
NAMED = {"sepal length": 5.1, "sepal width": 3.5, "petal/length": 1.4, "petal~width": 0.2}
MARK = "s3cr3t-value"
PREDICT = "/v1/models/iris/predict"


def app_of(harness, table=None):
    """Return an app that is open to everyone and strict about its input."""
    plugins = [
        harness.load(Anonymous),
        harness.load(Scopes),
        harness.load(InputRules, table),
        harness.load(Errors),
    ]
    return harness.app(plugins)


@pytest.fixture
def client(harness):
    """A client of an app with the default table."""
    return app_of(harness).test_client()


def post(client, body, content_type="application/json", **words):
    """Ask for a prediction with this body, bytes or a value."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(PREDICT, data=data, content_type=content_type, **words)


def rows(*instances):
    """Return the body that asks about these."""
    return {"instances": list(instances)}


def faults(answer):
    """Return the (path, rule) pairs of a 422."""
    assert answer.status_code == 422
    return [(fault["path"], fault["rule"]) for fault in answer.json["errors"]]


def test_good_rows_are_answered_as_the_estimator_answers(client):
    """As lists in the card's order, or as objects in any order."""
    shuffled = dict(reversed(NAMED.items()))

    for body in (rows(GOOD), rows(NAMED), rows(shuffled)):
        answer = post(client, body)
        assert answer.status_code == 200
        assert answer.json["predictions"] == [0]
        assert answer.json["probabilities"] == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=UTF-8", "Application/JSON;charset=utf8"],
)
def test_json_in_utf8_may_say_so(client, content_type):
    """In the usual spellings."""
    assert post(client, rows(GOOD), content_type).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"instances": [[5.1, 3.5, 1.4, 0.2]]', "malformed_json"),
        (b'{"instances": [[5.1, 3.5, 1.4, 0.2]]} {}', "malformed_json"),
        (b"{'instances': [[1, 2, 3, 4]]}", "malformed_json"),
        (b'{"instances": [[1, 2, 3, 04]]}', "malformed_json"),
        (b'{"instances": [["\xff", 1, 2, 3]]}', "malformed_json"),
        (b'{"instances": [["\\ud800", 1, 2, 3]]}', "malformed_json"),
        (b'\xef\xbb\xbf{"instances": [[5.1, 3.5, 1.4, 0.2]]}', "malformed_json"),
        ('{"instances": [[5.1, 3.5, 1.4, 0.2]]}'.encode("utf-16"), "malformed_json"),
        (b'{"instances": [], "instances": [[5.1, 3.5, 1.4, 0.2]]}', "duplicate_key"),
        (b'{"instances": [{"sepal width": 1, "sepal width": 2}]}', "duplicate_key"),
        (b'{"instances": [[NaN, 1, 2, 3]]}', "not_a_number"),
        (b'{"instances": [[Infinity, 1, 2, 3]]}', "not_a_number"),
        (b'{"instances": [[-Infinity, 1, 2, 3]]}', "not_a_number"),
        (b'{"instances": [[1e999, 1, 2, 3]]}', "not_a_number"),
        (b'{"instances": [[-1E+999, 1, 2, 3]]}', "not_a_number"),
        (b'{"instances": [[' + b"9" * 400 + b", 1, 2, 3]]}", "not_a_number"),
        (b'{"instances": ' + b"[" * 9 + b"]" * 9 + b"}", "json_too_deep"),
        (b"[" * 100_000, "json_too_deep"),
        (b'{"a":' * 100_000, "json_too_deep"),
        (b'{"instances": ["' + b"x" * 5000 + b'"]}', "json_too_large"),
        (json.dumps({"instances": [{str(n): n for n in range(2000)}]}).encode(), "json_too_large"),
    ],
)
def test_attack_a_body_that_is_not_strict_json_is_refused_by_its_code(client, body, code):
    """Before anyone looks at what it means."""
    answer = post(client, body)

    assert (answer.status_code, answer.json["code"]) == (400, code)
    assert "errors" not in answer.json
    assert post(client, rows(GOOD)).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/problem+json",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
    ],
)
def test_a_body_that_is_not_said_to_be_json_in_utf8_is_refused(client, content_type):
    """A form that another site makes a browser send is no question for the model."""
    answer = post(client, rows(GOOD), content_type)

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_attack_a_compressed_body_is_not_unpacked(client):
    """What is small on the wire may be large in memory."""
    bomb = gzip.compress(b'{"instances": [' + b" " * 10_000_000 + b"]}")

    for headers in ({"Content-Encoding": "gzip"}, {}):
        assert post(client, bomb, headers=headers).status_code in (400, 415)


class Endless(io.RawIOBase):
    """A body without an end; counts what is taken of it."""

    taken = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        self.taken += len(buffer)
        buffer[:] = (b"[5.1,3.5,1.4,0.2]," * (len(buffer) // 18 + 1))[: len(buffer)]
        return len(buffer)


def stream(app, body, **environ):
    """Return the status and code of the answer to a body that streams in."""
    builder = EnvironBuilder(path=PREDICT, method="POST", content_type="application/json")
    words = {"wsgi.input": body, "wsgi.input_terminated": True, **environ}
    answer, status, _ = run_wsgi_app(app, builder.get_environ() | words)
    return status, json.loads(b"".join(answer))["code"]


def test_attack_ten_million_rows_are_refused_unread(harness):
    """By the length they announce: not one byte of them is taken."""
    body = Endless()

    refused = stream(app_of(harness), body, CONTENT_LENGTH=str(10_000_000 * 18))
    assert refused == ("413 REQUEST ENTITY TOO LARGE", "body_too_large")
    assert body.taken == 0


def test_attack_a_chunked_body_without_end_is_refused_at_the_limit(harness):
    """Nothing announces its length, and memory is bounded all the same."""
    body = Endless()

    refused = stream(app_of(harness), body, HTTP_TRANSFER_ENCODING="chunked")
    assert refused == ("413 REQUEST ENTITY TOO LARGE", "body_too_large")
    assert body.taken <= 2 * 1024 * 1024


def test_a_body_one_byte_too_large_is_refused(client):
    """The limit itself is allowed."""
    body = json.dumps(rows(GOOD)).encode()
    limit = 1024 * 1024

    assert post(client, body + b" " * (limit - len(body))).status_code == 200
    answer = post(client, body + b" " * (limit - len(body) + 1))
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([GOOD], [("", "object")]),
        (MARK, [("", "object")]),
        (None, [("", "object")]),
        ({}, [("/instances", "required")]),
        ({"instances": None}, [("/instances", "invalid")]),
        ({"instances": [GOOD], MARK: 1}, [("", "unknown_key")]),
        ({MARK: [GOOD]}, [("/instances", "required"), ("", "unknown_key")]),
    ],
)
def test_an_envelope_that_does_not_fit_is_refused_at_its_place(client, body, expected):
    """One object with one key; an unknown one is the caller's text, so not repeated."""
    answer = post(client, body)

    assert sorted(faults(answer)) == sorted(expected)
    assert MARK not in answer.text


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        (5, [("/instances", "type")]),
        (MARK, [("/instances", "type")]),
        (True, [("/instances", "type")]),
        ({}, [("/instances", "type")]),
        (NAMED, [("/instances", "type")]),
        ([], [("/instances", "empty")]),
        ([5.1, 3.5, 1.4, 0.2], [(f"/instances/{n}", "instance_type") for n in range(4)]),
        ([MARK], [("/instances/0", "instance_type")]),
        ([None], [("/instances/0", "instance_type")]),
        ([[]], [("/instances/0", "feature_count")]),
        ([GOOD, GOOD[:3]], [("/instances/1", "feature_count")]),
        ([[*GOOD, 1.0]], [("/instances/0", "feature_count")]),
        ([[5.1, MARK, 1.4, 0.2]], [("/instances/0/1", "type")]),
        ([[5.1, "3.5", 1.4, 0.2]], [("/instances/0/1", "type")]),
        ([[5.1, 3.5, True, 0.2]], [("/instances/0/2", "type")]),
        ([[5.1, 3.5, 1.4, None]], [("/instances/0/3", "missing_value")]),
        ([[5.1, 3.5, 1.4, [0.2]]], [("/instances/0/3", "type")]),
        ([[5.1, 3.5, 1.4, {MARK: 1}]], [("/instances/0/3", "type")]),
        (
            [{}],
            [
                (f"/instances/0/{name}", "missing_feature")
                for name in ("sepal length", "sepal width", "petal~1length", "petal~0width")
            ],
        ),
        ([{**NAMED, MARK: 1}], [("/instances/0", "unknown_feature")]),
        ([{**NAMED, "petal/length": "1.4"}], [("/instances/0/petal~1length", "type")]),
        ([{**NAMED, "petal~width": False}], [("/instances/0/petal~0width", "type")]),
        ([{**NAMED, "sepal width": None}], [("/instances/0/sepal width", "missing_value")]),
        ([GOOD, NAMED, [MARK] * 4], [(f"/instances/2/{n}", "type") for n in range(4)]),
    ],
)
def test_rows_that_are_not_the_cards_are_refused_at_their_place(client, instances, expected):
    """Nothing is converted that a person would not call the same value."""
    answer = post(client, {"instances": instances})

    assert answer.json["code"] == "invalid_input"
    assert faults(answer) == expected
    assert MARK not in answer.text


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (2.74, None),
        (2.75, "above_maximum"),
        (1e308, "above_maximum"),
        (10**200, "above_maximum"),
        (-0.13, None),
        (-0.15, "below_minimum"),
        (-1e308, "below_minimum"),
        (1, None),
    ],
)
def test_a_value_may_lie_a_tenth_of_the_range_beyond_training(client, value, rule):
    """Whether the row is a list or an object; the path is the caller's own way to say it."""
    named = {**NAMED, "petal~width": value}
    for row, path in (([*GOOD[:3], value], "3"), (named, "petal~0width")):
        answer = post(client, rows(GOOD, row))
        if rule is None:
            assert answer.status_code == 200
        else:
            assert faults(answer) == [(f"/instances/1/{path}", rule)]
            assert str(value) not in answer.text


@pytest.mark.parametrize(
    ("margin", "good", "bad"), [(0, 2.5, 2.51), (1, 4.9, 4.91), (0.5, 3.7, 3.71)]
)
def test_the_margin_is_the_operators(harness, margin, good, bad):
    """As a share of the range seen in training."""
    client = app_of(harness, {"range_margin": margin}).test_client()

    assert post(client, rows([*GOOD[:3], good])).status_code == 200
    assert faults(post(client, rows([*GOOD[:3], bad]))) == [("/instances/0/3", "above_maximum")]


@pytest.mark.parametrize("bad", [[MARK] * 4, [1e6] * 4, GOOD[:1], [-1e6] * 4])
def test_at_most_twenty_faults_are_named(client, bad):
    """A refusal is not longer than it need be, whatever the question."""
    assert len(faults(post(client, rows(*[bad] * 100)))) == 20


def test_every_range_fault_of_a_row_is_named(client):
    """Not only the first."""
    assert faults(post(client, rows([100, -100, 1.4, 100]))) == [
        ("/instances/0/0", "above_maximum"),
        ("/instances/0/1", "below_minimum"),
        ("/instances/0/3", "above_maximum"),
    ]


def test_the_most_rows_are_answered_and_one_more_is_refused(harness):
    """By its own code."""
    client = app_of(harness, {"max_rows": 3}).test_client()

    assert post(client, rows(*[GOOD] * 3)).json["predictions"] == [0, 0, 0]
    answer = post(client, rows(*[GOOD] * 4))
    assert answer.json["code"] == "too_many_rows"
    assert faults(answer) == [("/instances", "max_rows")]


def test_attack_too_many_rows_are_refused_before_any_is_converted(harness):
    """The refusal must be cheaper than the work."""
    model = harness.models.get("iris")

    def read(instances):
        raise AssertionError("rows were converted")

    exchange = harness.exchange("POST", PREDICT)
    exchange.model, exchange.payload = model, rows(*[GOOD] * 1001)
    model.read = read
    with pytest.raises(Problem) as refused:
        harness.build(InputRules).validate(exchange)

    assert refused.value.code == "too_many_rows"
    assert refused.value.reason == "input_rules.rows:1001"


def test_the_reason_names_the_place_and_never_the_value(harness):
    """For the log."""
    exchange = harness.exchange("POST", PREDICT)
    exchange.model, exchange.payload = harness.models.get("iris"), rows([5.1, 3.5, 98765.0, 0.2])
    with pytest.raises(Problem) as refused:
        harness.build(InputRules).validate(exchange)

    assert refused.value.reason == "input_rules.range:/instances/0/2"


def test_rows_are_read_once_for_the_rules_and_the_model(harness):
    """What was checked is what is asked."""
    exchange = harness.exchange("POST", PREDICT)
    exchange.model, exchange.payload = harness.models.get("iris"), rows(GOOD, GOOD)
    harness.build(InputRules).validate(exchange)
    checked = exchange.read_rows()

    assert exchange.row_count == 2
    assert exchange.read_rows() is checked


@pytest.mark.parametrize("payload", [None, {}, {"other": 1}])
def test_a_request_that_asks_no_model_is_not_its_business(harness, payload):
    """Another route's body, a model's card, a health check."""
    exchange = harness.exchange()
    plugin = harness.build(InputRules)
    exchange.payload = payload
    assert plugin.validate(exchange) is None

    exchange.model = harness.models.get("iris")
    assert plugin.validate(exchange) is None
    assert app_of(harness).test_client().get("/v1/models/iris").status_code == 200


def test_observed_it_lets_the_model_answer_what_it_would_refuse(harness):
    """An operator tries the ranges on live traffic; what no model can read stays refused."""
    client = app_of(harness, {"mode": "observe"}).test_client()

    assert post(client, rows([*GOOD[:3], 1000])).status_code == 200
    assert faults(post(client, rows([MARK] * 4)))[0] == ("/instances/0/0", "type")


def test_each_model_has_its_own_validator_for_as_long_as_it_lives(harness, tmp_path_factory):
    """A model that was swapped out is not kept."""
    plugin = harness.build(InputRules)
    model = harness.models.get("iris")
    validator = plugin._validator_of(model)
    assert plugin._validator_of(model) is validator

    gone = weakref.ref(model)
    del model
    harness.models.load_all()
    gc.collect()
    assert gone() is None
    assert plugin._validator_of(harness.models.get("iris")) is not validator


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from([*NAMED, "other"]) | st.text(max_size=5), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(JSON | st.lists(st.lists(JSON, min_size=4, max_size=4), max_size=3))
def test_attack_whatever_json_is_sent_it_is_answered_or_refused_as_input(client, instances):
    """Never a fault of ours, and the worker lives."""
    answer = post(client, {"instances": instances})

    assert answer.status_code in (200, 400, 422)
    if answer.status_code == 422:
        assert 1 <= len(answer.json["errors"]) <= 20


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_attack_whatever_bytes_are_sent_they_are_refused_as_json(client, body):
    """A random body is never a question."""
    assert post(client, body).status_code in (400, 422)


@pytest.mark.parametrize(
    "table",
    [
        {"max_rows": 0},
        {"max_rows": "10"},
        {"max_rows": True},
        {"max_rows": 10**7},
        {"range_margin": -0.1},
        {"range_margin": "0.1"},
        {"range_margin": float("nan")},
        {"range_margin": float("inf")},
        {"margin": 0.1},
        {"mode": "off"},
    ],
)
def test_a_limit_that_is_none_stops_the_start(tmp_path, table):
    """A misspelt limit would be no limit."""
    with pytest.raises(ConfigError, match=rf"^\[plugins\.input_rules\] {next(iter(table))}: "):
        Harness(tmp_path).build(InputRules, table)
