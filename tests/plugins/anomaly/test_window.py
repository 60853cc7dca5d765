"""Counts of several workers are the counts of one; nothing of what was asked is in them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.anomaly.window import NAMES, Observation, Window
from tests import anomaly_traffic as traffic

OBSERVATIONS = st.builds(
    Observation,
    status=st.sampled_from([200, 400, 401, 403, 404, 405, 413, 422, 429, 500, 503]),
    path=st.text(max_size=20),
    rows=st.integers(0, 10_000),
    bytes_in=st.integers(0, 10**7),
    flagged=st.booleans(),
    labels=st.lists(st.one_of(st.integers(0, 9), st.text(max_size=3)), max_size=40),
)


@given(st.lists(st.tuples(OBSERVATIONS, st.integers(0, 2)), max_size=40))
def test_windows_of_three_workers_add_up_to_the_window_of_one(observations):
    whole, parts = Window(), [Window(), Window(), Window()]
    for observation, worker in observations:
        whole.add(observation)
        parts[worker].add(observation)
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    assert parts[0] == whole


@given(st.lists(OBSERVATIONS, max_size=30))
def test_a_window_survives_the_store(observations):
    whole = traffic.window(observations)
    assert Window.from_json(json.loads(json.dumps(whole.to_json()))) == whole


@given(st.lists(OBSERVATIONS, max_size=30))
def test_every_feature_is_a_number_and_shares_are_shares(observations):
    found = dict(zip(NAMES, traffic.window(observations).features(), strict=True))
    assert all(0 <= value < 100 for value in found.values())
    shares = set(NAMES) - {"requests", "paths", "rows", "bytes"}
    assert all(found[name] <= 1 for name in shares)


def test_each_way_to_be_refused_is_told_from_the_others():
    rng = np.random.default_rng(0)
    named = {401: "unauthorized", 403: "unauthorized", 404: "missing", 405: "missing"}
    named |= {429: "limited", 500: "failed", 503: "failed", 413: "malformed", 422: "malformed"}
    for status, name in named.items():
        features = traffic.window([traffic.request(rng, status=status)]).features()
        found = dict(zip(NAMES, features, strict=True))
        assert {key for key, value in found.items() if value == 1.0} - {"paths"} == {
            "refused",
            name,
        }


def test_nothing_that_was_asked_is_kept():
    observation = Observation(200, "/secret-path", 1, 10, flagged=False, labels=["secret-label"])
    assert "secret" not in json.dumps(traffic.window([observation]).to_json())


def test_a_batch_of_answers_costs_no_more_than_a_few():
    many = Observation(200, "/", 10_000, 1, flagged=False, labels=[1] * 10_000)
    assert sum(traffic.window([many]).labels) == 32


@given(st.lists(OBSERVATIONS, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_requests_changes_no_feature(observations, chance):
    mixed = list(observations)
    chance.shuffle(mixed)
    assert traffic.window(mixed) == traffic.window(observations)


def test_a_window_of_nothing_is_all_zero():
    assert Window().features() == [0.0] * len(NAMES)


@given(OBSERVATIONS, st.integers(0, 2**64 - 1))
def test_every_mask_of_paths_survives_the_store(observation, paths):
    found = traffic.window([observation])
    found.paths = paths
    assert Window.from_json(found.to_json()).paths == paths


@given(
    st.dictionaries(
        st.sampled_from(sorted(Window().to_json())),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
        | st.lists(st.integers(-1, 3), max_size=17),
        min_size=1,
    )
)  # fmt: skip
def test_what_is_read_has_finite_features_whatever_a_row_holds(change):
    try:
        found = Window.from_json(Window(requests=3).to_json() | change)
    except ValueError:
        return
    assert np.isfinite(found.features()).all()
    assert Window.from_json(found.to_json()) == found


@pytest.mark.parametrize("data", [{}, {"requests": 3}, Window().to_json() | {"other": 0}])
def test_a_row_with_other_counts_is_no_window(data):
    with pytest.raises(ValueError, match="other counts"):
        Window.from_json(data)


def test_the_largest_counts_add_up_and_have_finite_features():
    largest = Window.from_json(Window(requests=2**63 - 1, rows=2**63 - 1).to_json())
    largest.merge(Window.from_json(largest.to_json()))
    assert largest.requests == 2 * (2**63 - 1)
    assert np.isfinite(largest.features()).all()
