from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis

from plugins.theft_guard.feature_space import FeatureSpace
from plugins.theft_guard.reference_profile import ReferenceProfile, profile_of
from secureml.models.card import Feature


def test_a_profile_has_the_numbers_of_the_card(target, space):
    profile = space.profile

    assert isinstance(profile, ReferenceProfile)
    assert profile.columns == len(profile.bins) == 30
    assert len(profile.mahalanobis) == 7
    assert list(profile.mahalanobis) == sorted(profile.mahalanobis)
    assert list(profile.nearest) == sorted(profile.nearest)
    assert np.shape(profile.class_distances) == (2, 9)
    assert (np.diff(profile.class_distances, axis=1) >= 0).all()


def test_shapes_are_those_that_the_docstring_promises(target, space):
    rows = target.fresh[:5]
    encoded = space.encode(rows)
    distances, quotients = space.mahalanobis(encoded)
    steps, step_quotients = space.step(np.diff(encoded, axis=0))

    assert encoded.shape == (5, space.width)
    assert distances.shape == quotients.shape == (5,)
    assert steps.shape == step_quotients.shape == (4,)
    assert space.bins(rows, encoded).shape == (5, space.profile.columns)
    assert space.bands(encoded).shape == (5, 4)


def test_one_row_is_measured_as_a_batch_of_one_is(target, space):
    for row in space.encode(target.fresh[:20]):
        distances, quotients = space.mahalanobis(row[None])
        distance, quotient = space.mahalanobis_one(row)
        assert (distance, quotient) == pytest.approx((distances[0], quotients[0]), rel=1e-5)
        steps, quotients = space.step(row[None])
        assert space.step_one(row) == pytest.approx((steps[0], quotients[0]), rel=1e-5)


def test_a_rayleigh_quotient_does_not_depend_on_the_length_of_a_step(target, space):
    step = np.diff(space.encode(target.fresh[:2]), axis=0)
    assert space.step(step)[1] == pytest.approx(space.step(step * 1e-2)[1], rel=1e-3)


def test_a_mahalanobis_distance_grows_with_the_step_from_its_centre(target, space):
    row = space.encode(target.fresh[:1])
    centre = row[0].copy()
    near, far = (
        space.mahalanobis(centre + factor * np.ones_like(row), centre)[0] for factor in (1, 3)
    )
    assert far == pytest.approx(3 * near, rel=1e-4)


def test_noise_has_a_larger_rayleigh_quotient_than_real_rows(target, space, chance):
    real = space.encode(target.fresh)
    noise = chance.normal(0, 0.1, real.shape)
    assert np.median(space.step(noise)[1]) > 2 * np.median(space.step(np.diff(real, axis=0))[1])


@pytest.fixture(scope="module")
def profile(target):
    return profile_of(target.handle.card)


def inverse_covariance(profile):
    whitening = np.array(profile.whitening)
    return whitening @ whitening.T


def test_rows_are_encoded_as_the_asinh_of_their_robust_deviations(target, space, profile):
    rows = target.fresh[:20]
    expected = np.arcsinh((rows - np.array(profile.centre)) / np.array(profile.scale))
    assert space.encode(rows) == pytest.approx(expected)


def test_distances_are_scipys_mahalanobis_of_the_inverse_covariance(target, space, profile):
    encoded, inverse = space.encode(target.fresh[:40]), inverse_covariance(profile)
    mean = np.array(profile.mean)
    expected = [mahalanobis(row, mean, inverse) for row in encoded]
    moved = [mahalanobis(row, encoded[0], inverse) for row in encoded]

    assert space.mahalanobis(encoded)[0] == pytest.approx(expected)
    assert space.mahalanobis(encoded, encoded[0])[0] == pytest.approx(moved, abs=1e-6)


def test_the_inverse_covariance_of_the_card_is_that_of_the_table(target, space, profile):
    """Along directions that are not noise: two thousand rows at most, all of them here."""
    encoded = space.encode(target.train)
    covariance = np.cov(encoded, rowvar=False)
    values, vectors = np.linalg.eigh(covariance)
    real = values > 0.02 * values.mean()
    turned = vectors.T @ inverse_covariance(profile) @ vectors

    assert np.diag(turned)[real] == pytest.approx(1 / values[real], rel=0.05)
    assert np.array(profile.mean) == pytest.approx(encoded.mean(axis=0), abs=1e-4)


def test_rayleigh_quotients_lie_between_the_eigenvalues_and_reach_both(space, profile, chance):
    """Rayleigh and Ritz: x'Ax / x'x is bounded by the eigenvalues of A, and is one along each."""
    values, vectors = np.linalg.eigh(inverse_covariance(profile))
    _, quotients = space.step(chance.normal(size=(500, space.width)))

    assert quotients.min() >= values[0] * (1 - 1e-9)
    assert quotients.max() <= values[-1] * (1 + 1e-9)
    assert space.step(vectors.T)[1] == pytest.approx(values, rel=1e-6)


def test_a_step_of_nothing_has_no_length_and_no_direction(space):
    none = np.zeros((2, space.width))
    assert [each.tolist() for each in space.step(none)] == [[0.0, 0.0], [0.0, 0.0]]
    assert space.step_one(none[0]) == (0.0, 0.0)


def test_a_step_there_is_as_long_as_the_step_back(target, space):
    steps = np.diff(space.encode(target.fresh[:30]), axis=0)
    for forth, back in zip(space.step(steps), space.step(-steps), strict=True):
        assert forth == pytest.approx(back)


def test_bins_are_how_many_of_the_cards_edges_a_value_is_above(target, space, profile):
    rows, edges = target.fresh, np.array(profile.bins)
    bins = space.bins(rows, space.encode(rows))
    expected = (rows[:, :, None] > edges[None]).sum(axis=2)

    # A value that is an edge to the last of six digits may be on either side of it.
    assert (bins == expected).mean() > 0.995
    for row, one in zip(rows[:10], bins, strict=False):
        assert space.bins(row[None], space.encode(row[None]))[0].tolist() == one.tolist()


@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_no_measure_depends_on_the_rows_beside_a_row(target, chance):
    features = target.handle.card.features
    space = FeatureSpace(features, profile_of(target.handle.card))
    order = list(range(40))
    chance.shuffle(order)
    rows = target.fresh[:40]
    plain, mixed = space.encode(rows), space.encode(rows[order])

    assert np.array_equal(plain[order], mixed)
    assert np.array_equal(space.bands(plain)[order], space.bands(mixed))
    assert np.array_equal(space.bins(rows, plain)[order], space.bins(rows[order], mixed))
    for one, other in zip(space.mahalanobis(plain), space.mahalanobis(mixed), strict=True):
        assert one[order] == pytest.approx(other)


def made(target, *features):
    """Return a space over the first columns of the card's, of these features."""
    profile, width = profile_of(target.handle.card), len(features)
    small = replace(
        profile,
        numbers=tuple(range(width)),
        centre=(0.0,) * width,
        scale=(1e-3, *(1.0,) * (width - 1)),
        bins=profile.bins[:width],
        mean=(0.0,) * width,
        whitening=tuple(tuple(np.eye(width)[n].tolist()) for n in range(width)),
    )
    return FeatureSpace(features, small)


@pytest.mark.parametrize("value", [1e308, -1e308, 1.7976931348623157e308, 5e-324, 0.0])
def test_attack_a_number_as_large_as_can_be_written_is_a_finite_distance(target, value):
    """One infinity would stay in the mean of the client's rows, and blind two detectors."""
    space = made(target, Feature("a"), Feature("b"))
    encoded = space.encode(np.array([[value, 1.0]]))
    distance, quotient = space.mahalanobis_one(encoded[0])

    assert np.isfinite(encoded).all()
    assert np.isfinite((distance, quotient)).all()
    assert np.sign(encoded[0, 0]) == np.sign(value)
    assert distance > 700 or abs(value) < 1


def test_a_missing_number_stands_at_the_centre_where_it_may_be_missing(target):
    space = made(target, Feature("a", missing="allow"), Feature("b"))
    assert space.encode(np.array([[np.nan, 0.0], [np.inf, 0.0]]))[0].tolist() == [0.0, 0.0]


def test_whole_numbers_and_booleans_are_encoded_like_the_floats_they_are(target):
    space = made(target, Feature("a", dtype="integer"), Feature("b", dtype="boolean"))
    floats = np.array([[3.0, 1.0], [-2.0, 0.0]])
    expected = space.encode(floats)
    assert np.array_equal(space.encode(floats.astype(int)), expected)
    assert np.array_equal(space.encode(floats.astype(object)), expected)
