"""One request as the doors see it."""

from __future__ import annotations

import numpy as np
import pytest

from secureml import Principal, Problem
from secureml.corridor.exchange import Refusal, invalid_input
from secureml.testing import Harness


@pytest.fixture
def exchange(tmp_path):
    """A request on its way."""
    return Harness(tmp_path).exchange("POST", "/v1/models/m/predict")


def test_the_peer_is_settled_once(exchange):
    """A second plugin that tries is a fault of ours, and fails the request."""
    exchange.settle_peer(address="192.0.2.1", scheme="https", host="h")

    with pytest.raises(RuntimeError, match="once"):
        exchange.settle_peer(address="198.51.100.1", scheme="https", host="h")
    assert exchange.client_address == "192.0.2.1"


def test_rows_are_read_once(exchange):
    """However many plugins ask."""

    class Model:
        calls = 0

        def read(self, instances):
            self.calls += 1
            return np.array(instances)

    exchange.model, exchange.payload = Model(), {"instances": [[1.0], [2.0]]}

    assert exchange.read_rows() is exchange.read_rows()
    assert (exchange.model.calls, exchange.row_count) == (1, 2)


def test_there_are_no_rows_without_a_model(exchange):
    """A plugin that asks at the wrong route learns of it."""
    with pytest.raises(RuntimeError, match="before a model"):
        exchange.read_rows()


@pytest.mark.parametrize(
    ("granted", "may"), [({"m"}, True), ({"*"}, True), ({"n"}, False), (set(), False)]
)
def test_a_principal_uses_the_models_it_was_granted(granted, may):
    """None by default, all by a star."""
    principal = Principal("c", "c", frozenset(), frozenset(granted), "t", "m", "k")

    assert principal.may_use("m") is may


def test_the_problem_is_the_one_the_caller_saw(exchange):
    """None until someone refuses."""
    assert exchange.problem is None
    exchange.refusal = Refusal(None, "", Problem("forbidden"))

    assert exchange.problem.code == "forbidden"


def test_faulty_input_tells_at_most_twenty_places():
    """As pairs of path and rule."""
    problem = invalid_input([(f"/{n}", "type") for n in range(30)], "why")

    assert (len(problem.errors), problem.errors[0].path) == (20, "/0")
