"""What is known of an answer's reliability stands in it, and what is not is left out."""

from __future__ import annotations

from secureml.api_schemas import PredictResponse
from secureml.models.serving.reliability import Reliability


def test_only_what_is_known_is_a_member():
    assert Reliability().members() == {}
    assert Reliability(0.9, intervals=[[1.0, 2.0]]).members() == {
        "coverage": 0.9,
        "intervals": [[1.0, 2.0]],
    }
    assert Reliability(in_distribution=[False]).members() == {"in_distribution": [False]}


def test_every_member_is_in_the_description_of_the_answer():
    known = Reliability(0.9, [[1]], [[0.0, 1.0]], [True]).members()
    assert known.keys() <= PredictResponse().fields.keys()
    assert len(known) == 4
