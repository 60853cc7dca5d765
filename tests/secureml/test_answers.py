"""What the core's routes promise is what they answer."""

from __future__ import annotations

from secureml import answers
from secureml.corridor.exchange import Notice
from secureml.models.card import Feature
from secureml.models.rules import Rule
from secureml.testing import Harness


def test_alive_and_ready_answer_as_they_promise(tmp_path):
    """Every key known, none missing."""
    caller = Harness(tmp_path).app([]).test_client()
    assert answers.AliveAnswer().validate(caller.get("/healthz").get_json()) == {}
    assert answers.ReadyAnswer().validate(caller.get("/readyz").get_json()) == {}


def test_every_key_of_a_warning_and_of_a_rule_is_promised():
    """As the corridor and the card have them."""
    assert set(answers.WarningAnswer().fields) == set(Notice._fields)
    assert set(answers.RuleAnswer().fields) == set(Rule.__dataclass_fields__)


def test_every_key_of_a_public_feature_is_promised():
    """A new field of the card needs its line here."""
    assert set(answers.FeatureAnswer().fields) == set(Feature.__dataclass_fields__)
