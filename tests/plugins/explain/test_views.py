"""The description of the route says what it demands, reads and answers."""

from __future__ import annotations

import pytest

from plugins.explain.views import PATH, ExplainBody, ExplainResponse, blueprint
from secureml.kit.prediction import PredictResponse
from secureml.pipeline.policy import policy_of


@pytest.fixture
def policy(app_of):
    return app_of(7)


@pytest.fixture
def app_of():
    from flask import Flask

    def make(cost):
        app = Flask("test")
        app.register_blueprint(blueprint(cost, dict))
        (rule,) = [each for each in app.url_map.iter_rules() if each.rule == PATH]
        assert rule.methods == {"POST", "OPTIONS"}
        return policy_of(app.view_functions[rule.endpoint])

    return make


def test_it_demands_a_scope_of_its_own_and_has_the_cost_that_is_set(policy):
    assert (policy.scope, policy.cost, policy.public) == ("explain", 7, False)
    assert (policy.body, policy.answer, policy.present) == (ExplainBody, ExplainResponse, dict)


def test_its_answer_is_that_of_a_prediction_and_explanations():
    assert ExplainResponse().fields.keys() - PredictResponse().fields.keys() == {"explanations"}
    explanation = ExplainResponse().fields["explanations"].inner.schema
    names = {field.data_key or name for name, field in explanation.fields.items()}
    assert names == {"class", "base", "value", "attributions"}
