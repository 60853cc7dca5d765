"""Sampled Shapley values beside their definition, worked out over every coalition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from plugins.explain.mixtures import mixed, stacked
from plugins.explain.shapley import Attribution, attribute, sample

RNG = np.random.default_rng(0)


def exact(function, row, background):
    """Return the Shapley values by their definition: 2^n coalitions, each over the background."""
    features = len(row)

    def worth(coalition):
        rows = background.copy()
        rows[:, list(coalition)] = row[list(coalition)]
        return function(rows).mean()

    values = np.zeros(features)
    for size in range(features):
        weight = math.factorial(size) * math.factorial(features - size - 1)
        for feature in range(features):
            others = [each for each in range(features) if each != feature]
            for coalition in itertools.combinations(others, size):
                gain = worth((*coalition, feature)) - worth(coalition)
                values[feature] += weight * gain / math.factorial(features)
    return values


def sampled(function, row, background, evaluations=2000, seed=1):
    sampling = sample(len(row), len(background), evaluations, seed)
    stack = stacked(row[None], background)
    return attribute(lambda each: function(mixed(stack, each)), function(background), sampling)


def additive(rows):
    return np.sin(rows[:, 0]) + rows[:, 1] ** 3 - 2 * rows[:, 2] + np.abs(rows[:, 3])


def pairwise(rows):
    return rows[:, 0] * rows[:, 1] + rows[:, 2] * np.sign(rows[:, 3]) + rows[:, 1] ** 2


def entangled(rows):
    return np.tanh(rows.prod(axis=1) * 3 + rows[:, 0] * rows[:, 1] * rows[:, 2]) + rows[:, 3]


@pytest.mark.parametrize("function", [additive, pairwise])
@pytest.mark.parametrize("evaluations", [150, 2000])
def test_of_single_features_and_pairs_it_is_exact_whatever_the_sample(function, evaluations):
    background = RNG.normal(size=(20, 4))
    for row in RNG.normal(size=(5, 4)):
        found = sampled(function, row, background, evaluations)
        assert found.parts == pytest.approx(exact(function, row, background), abs=1e-12)


def test_of_larger_coalitions_it_comes_near_with_more_evaluations():
    background = RNG.normal(size=(20, 4))
    rows = RNG.normal(size=(10, 4))
    errors = {
        evaluations: np.mean(
            [
                np.abs(
                    sampled(entangled, row, background, evaluations).parts
                    - exact(entangled, row, background)
                )
                for row in rows
            ]
        )
        for evaluations in (200, 20_000)
    }
    assert errors[20_000] < 0.25 * errors[200]
    assert errors[20_000] < 0.02


# What shap 0.51.0 makes of the functions above: ExactExplainer with the masker Independent.
SHAP = {
    pairwise: (1.091263393111, [-0.418472245261, -0.502513386035, 0.13218936527, 0.357532872915]),
    entangled: (0.026111486925, [-0.480595280692, -0.261369531956, -0.197486587177, 0.62559122627]),
}


@pytest.mark.parametrize(("function", "tolerance"), [(pairwise, 1e-11), (entangled, 2e-2)])
def test_values_are_those_of_the_library_shap(function, tolerance):
    background = np.sin(np.arange(1, 25)).reshape(6, 4)
    row = np.array([0.9, -0.7, 0.8, 0.6])
    base, parts = SHAP[function]
    found = sampled(function, row, background, 20_000)

    assert exact(function, row, background) == pytest.approx(parts, abs=1e-11)
    assert found.base == pytest.approx(base, abs=1e-11)
    assert found.parts == pytest.approx(parts, abs=tolerance)


def test_over_many_samples_the_mean_is_the_exact_value():
    background, row = RNG.normal(size=(6, 4)), RNG.normal(size=4)
    found = [sampled(entangled, row, background, 60, seed).parts for seed in range(400)]
    deviation = np.std(found, axis=0) / math.sqrt(len(found))
    assert (
        np.abs(np.mean(found, axis=0) - exact(entangled, row, background)) < 5 * deviation + 1e-12
    ).all()


@pytest.mark.parametrize("evaluations", [8, 100, 2000])
def test_parts_and_base_add_up_to_the_value(evaluations):
    background = RNG.normal(size=(20, 4))
    for row in RNG.normal(size=(5, 4)):
        found = sampled(entangled, row, background, evaluations)
        assert found.value == entangled(row[None])[0]
        assert found.base + found.parts.sum() == pytest.approx(found.value, abs=1e-12)
    # Every row of the background has a part in it where there are evaluations for all.
    assert evaluations < 2000 or found.base == pytest.approx(entangled(background).mean())


def test_attack_a_rounded_part_is_no_second_scale_for_the_exact_value():
    """Of one feature it is a function of what is seen: rounded by itself it would tell more."""
    for value in np.linspace(0.4, 0.6, 50):
        exact_one = Attribution(0.3333, float(value), np.array([value - 0.3333]))
        found = exact_one.rounded(1)
        assert (found.base, found.value) == (0.3, round(float(value), 1))
        assert found.parts[0] == pytest.approx(found.value - found.base)


def test_rounded_parts_add_up_to_what_is_seen_as_far_as_places_allow():
    background = RNG.normal(size=(20, 4))
    for row in RNG.normal(size=(20, 4)):
        found = sampled(entangled, row, background).rounded(2)
        assert found.base + found.parts.sum() == pytest.approx(found.value, abs=4 * 0.005 + 1e-9)
        assert found.parts.tolist() == [round(part, 2) for part in found.parts.tolist()]
        assert found.rounded(None) is found


def test_a_feature_that_changes_nothing_has_no_part():
    background, row = RNG.normal(size=(20, 4)), RNG.normal(size=4)
    found = sampled(lambda rows: rows[:, 0] * rows[:, 1] * rows[:, 2], row, background)
    assert found.parts[3] == 0


def test_the_same_seed_asks_the_same_and_another_seed_does_not():
    background, row = RNG.normal(size=(6, 4)), RNG.normal(size=4)
    first, again, other = (
        sampled(entangled, row, background, 60, seed).parts.tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("features", "rows", "evaluations"),
    [(4, 20, 2000), (30, 20, 2000), (4, 20, 6), (900, 20, 2000)],
)
def test_no_more_is_asked_than_is_allowed_and_every_row_is_as_frequent(features, rows, evaluations):
    found = sample(features, rows, evaluations, 0)
    assert found.evaluations <= evaluations
    assert len(set(np.bincount(found.background)) - {0}) == 1
    assert all(sorted(order) == list(range(features)) for order in found.orders.tolist())


def test_of_one_feature_each_row_is_asked_about_once():
    found = sampled(lambda rows: rows[:, 0] ** 2, np.array([3.0]), np.array([[1.0], [2.0]]))
    assert (found.base, found.value, found.parts.tolist()) == (2.5, 9.0, [6.5])


def test_where_one_pair_is_too_much_there_is_no_sampling():
    assert sample(1000, 20, 1997, 0) is None
    assert sample(1000, 20, 1998, 0) is not None
