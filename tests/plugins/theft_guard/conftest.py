"""A real model behind the guard: breast cancer, sealed once with its table."""

from __future__ import annotations

import numpy as np
import pytest
from service import Service
from subjects import subject


@pytest.fixture(scope="session")
def target(tmp_path_factory):
    return subject("cancer", "logistic", tmp_path_factory.mktemp("theft"))


@pytest.fixture
def serve(target, tmp_path):
    """Return a function that stands the guard before the model, with settings of one's own."""
    made = []

    def start(**table):
        made.append(Service(target, tmp_path / f"service{len(made)}", **table))
        return made[-1]

    yield start
    for service in made:
        service.close()


@pytest.fixture
def chance():
    return np.random.default_rng(1)


@pytest.fixture
def nonsense(target, chance):
    """Return a function that makes rows within the ranges and like no real one."""
    return lambda many=1: chance.uniform(target.low, target.high, (many, len(target.low)))
