"""A real model behind the plugin: breast cancer, sealed once with its table."""

from __future__ import annotations

import numpy as np
import pytest
from service import Service
from subjects import subject

from plugins.theft_guard.batch import QueryBatch, row_digests
from plugins.theft_guard.binning import Binner
from plugins.theft_guard.client_state import RECORD, ClientState
from plugins.theft_guard.feature_space import FeatureSpace
from plugins.theft_guard.reference_profile import profile_of


@pytest.fixture(scope="session")
def target(tmp_path_factory):
    return subject("cancer", "logistic", tmp_path_factory.mktemp("theft"))


@pytest.fixture
def serve(target, tmp_path):
    """Return a function that runs the plugin with the model and some settings."""
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
    return lambda count=1: chance.uniform(target.low, target.high, (count, len(target.low)))


@pytest.fixture
def space(target):
    card = target.handle.card
    return FeatureSpace(card.features, profile_of(card))


@pytest.fixture
def binner(space):
    return Binner(space)


@pytest.fixture
def state():
    return ClientState(np.zeros(1, RECORD))


@pytest.fixture
def batch_of():
    """Return a function that makes a batch of rows with one margin and one label."""

    def make(rows, margin=1.0, label=0):
        many = len(rows)
        return QueryBatch(
            rows, np.full(many, margin), np.full(many, label), row_digests(rows, b"key")
        )

    return make
