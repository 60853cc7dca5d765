from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from sklearn.dummy import DummyRegressor

from secureml.model_choice import ModelChoice
from secureml.models.serving.served_model import Candidate, ServedModel
from secureml.pipeline.exchange import Refusal
from secureml.pipeline.phases import Phase
from secureml.pipeline.policy import Policy
from secureml.pipeline.principal import Principal
from secureml.pipeline.problems import Problem
from secureml.testing import Harness
from tests.model_handles import handle_of

ONE = handle_of(DummyRegressor(strategy="constant", constant=1.0).fit([[0.0]], [0]))
TWO = handle_of(DummyRegressor(strategy="constant", constant=2.0).fit([[0.0]], [0]))
TWO.version, TWO.card = "2", replace(TWO.card, version="2")
POLICY = Policy("predict")


class Models:
    """The models of these tests: one name, with what each test says of it."""

    def __init__(self, served):
        self._served = served

    def served(self, name):
        return self._served if name == "m" else None

    def get(self, name, version=""):
        served = self.served(name)
        return served and (served.version(version) if version else served.current)

    def choose(self, name, version, client):
        served = self.served(name)
        if served is None:
            return None
        return served.version(version) if version else served.answering(client())


class Recorder:
    def __init__(self):
        self.counted, self.answers = [], []

    def count(self, served, asked, *, failed):
        self.counted.append((asked.version, failed))

    def answered(self, served, asked, question, result, nanoseconds):
        self.answers.append((asked.version, question, nanoseconds))


def principal(*models, scopes=("predict",)):
    return Principal("acme", "acme", frozenset(scopes), frozenset(models), "standard", "t", "k")


@pytest.fixture
def exchange(tmp_path):
    def make(version="", who=None, model="m"):
        found = Harness(tmp_path).exchange(policy=POLICY, principal=who or principal("*"))
        found.model_name, found.model_version = model, version
        return found

    return make


CANARY = ServedModel(ONE, {"1": ONE, "2": TWO}, Candidate(TWO, True, 1.0, "run"))


def chosen(exchange, served=CANARY):
    ModelChoice(Models(served)).choose(exchange)
    return exchange.model and exchange.model.version


def test_a_canary_answers_the_clients_that_are_given_it(exchange):
    assert chosen(exchange()) == "2"


def test_attack_a_trial_neither_takes_a_right_away_nor_gives_one(exchange):
    assert chosen(exchange(who=principal("m@1"))) == "1"
    assert chosen(exchange(who=principal("*", scopes=["predict@m@1"]))) == "1"
    assert chosen(exchange(who=principal("m@2"))) == "2"


def test_what_is_named_is_what_answers(exchange):
    assert chosen(exchange("1")) == "1"
    assert chosen(exchange("2")) == "2"


@pytest.mark.parametrize("version", ["3", "01", "latest", "../1", " 1"])
def test_a_version_that_is_not_served_is_nothing(exchange, version):
    assert chosen(exchange(version)) is None


def test_a_name_that_is_not_served_is_nothing(exchange):
    assert chosen(exchange(model="other")) is None


def test_attack_what_was_chosen_for_rights_is_kept_through_a_swap(exchange):
    """Rights are looked at between the two calls; another version must not answer then."""
    found = exchange(who=principal("m@1"))
    assert chosen(found, ServedModel(ONE, {"1": ONE})) == "1"
    assert chosen(found, ServedModel(TWO, {"2": TWO})) == "1"


def test_an_answer_carries_the_fields_of_its_own_version(exchange):
    served = ServedModel(ONE, {"1": ONE, "2": TWO}, headers={"1": {"Sunset": "soon"}})
    choice = ModelChoice(Models(served))
    for version, fields in (("1", {"Sunset": "soon"}), ("2", {})):
        found = exchange(version)
        choice.choose(found)
        assert dict(choice.fields(found)) == fields
    assert dict(choice.fields(exchange(model="other"))) == {}


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        (200, [("2", False)]),
        (422, []),
        (500, [("2", True)]),
        (503, [("2", True)]),
        (429, []),
        (403, []),
        (413, []),
    ],
)
def test_a_trial_learns_how_a_request_ended_that_a_version_had_a_part_in(exchange, status, counted):
    recorder, found = Recorder(), exchange()
    choice = ModelChoice(Models(CANARY), recorder)
    choice.choose(found)
    found.payload, found.status = {"instances": [[0.0]]}, status
    choice.finished(found)

    assert recorder.counted == counted


@pytest.mark.parametrize(
    ("version", "reason", "instances", "counted"),
    [
        # The version on trial refuses what the one in use reads: that is its fault.
        ("2", "payload.rows", [[0.0]], [("2", True)]),
        ("2", "payload.rows", [["x"]], []),
        ("1", "payload.rows", [[0.0]], []),
        ("2", "input_rules.range:/instances/0/0", [[0.0]], []),
        ("2", "model.raised.ValueError", [[0.0]], [("2", True)]),
        ("1", "model.raised.ValueError", [[0.0]], [("1", True)]),
    ],
)
def test_attack_a_caller_neither_ends_a_trial_by_rows_of_no_card_nor_covers_failures(
    exchange, version, reason, instances, counted
):
    recorder, found = Recorder(), exchange(version)
    choice = ModelChoice(Models(CANARY), recorder)
    choice.choose(found)
    found.payload, found.status = {"instances": instances}, 422
    found.refusal = Refusal(Phase.VALIDATE, "payload", Problem("invalid_input", reason=reason))
    choice.finished(found)

    assert recorder.counted == counted


def test_a_request_that_asked_nothing_is_no_part_of_a_trial(exchange):
    recorder, found = Recorder(), exchange()
    choice = ModelChoice(Models(CANARY), recorder)
    choice.choose(found)
    found.status = 200
    choice.finished(found)

    assert recorder.counted == []


def test_a_trial_is_shown_the_answer_and_the_instances(exchange):
    recorder, found = Recorder(), exchange()
    choice = ModelChoice(Models(CANARY), recorder)
    choice.choose(found)
    found.payload = {"instances": [[0.0]]}
    found.model_ns = 7
    choice.answered(found, SimpleNamespace())
    ((version, (rows, instances), nanoseconds),) = recorder.answers
    assert (version, rows.tolist(), instances, nanoseconds) == ("2", [[0.0]], [[0.0]], 7)

    quiet = ModelChoice(Models(ServedModel(ONE, {"1": ONE})), recorder)
    found.model = ONE
    quiet.answered(found, SimpleNamespace())
    assert len(recorder.answers) == 1
