from __future__ import annotations

import numpy as np
import pytest

from plugins.theft_guard.reference_profile import ReferenceProfile


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
