"""A refusal is a problem as everywhere, and says in `error` what stock clients show."""

from __future__ import annotations

import json

from plugins.errors.plugin import Errors
from plugins.open_inference.wording import MEDIA_TYPE, worded
from secureml import Kind, Problem
from secureml.kit.validation import Fault
from secureml.testing import Harness

KIND = Kind("invalid_input", 422, "The input breaks a rule of this endpoint")


def test_it_is_the_problem_of_every_other_route_and_one_line_more(tmp_path):
    harness = Harness(tmp_path)
    problem = Problem("invalid_input", reason="secret", errors=[Fault("/instances/0/1", "type")])
    exchange = harness.exchange()
    plain = harness.build(Errors).render(problem, KIND, exchange)
    body, media_type = worded(KIND, problem.errors, exchange.id)
    assert media_type == MEDIA_TYPE == "application/problem+json"
    found = json.loads(body)
    assert found.pop("error") == (
        "The input breaks a rule of this endpoint (invalid_input); /instances/0/1 type; "
        f"id {exchange.id}"
    )
    assert found == plain
    assert "secret" not in body
    harness.store.close()


def test_the_line_names_three_places_at_most():
    body, _ = worded(KIND, [(f"/inputs/{n}", "type") for n in range(9)], "7")
    assert json.loads(body)["error"].count("/inputs/") == 3
    assert len(json.loads(body)["errors"]) == 9
