"""Rows of any card become comparable numbers, and near rows share a fingerprint."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plugins.theft_guard.encoding import BANDS, Encoder, Fingerprints
from plugins.theft_guard.reference_profile import WIDTH
from secureml.kit.cards import Feature

NUMBERS = (Feature("a"), Feature("b"))
MIXED = (Feature("a", missing="allow"), Feature("c", "category", categories=("x", "y")))


def test_numbers_are_bent_robust_deviations():
    encoder = Encoder(NUMBERS, (0, 1), (), (1.0, 2.0), (0.5, 4.0))
    encoded = encoder(np.array([[1.0, 2.0], [2.0, 10.0], [-1e9, 2.0]]))

    assert encoded[0].tolist() == [0, 0]
    assert encoded[1] == pytest.approx([math.asinh(2), math.asinh(2)])
    assert encoded[2, 0] == pytest.approx(-math.asinh((1e9 + 1) / 0.5))


def test_a_missing_number_is_at_the_centre_and_an_unknown_word_is_no_word():
    encoder = Encoder(MIXED, (0,), (1,), (5.0,), (1.0,))
    encoded = encoder(np.array([[np.nan, "x"], [5.0, "z"], [5.0, None]], dtype=object))

    assert encoded[:, 0].tolist() == [0, 0, 0]
    assert encoded[0, 1:].tolist() == [0.5**0.5, 0]
    assert not encoded[1:, 1:].any()


def test_two_rows_that_differ_in_one_word_are_one_apart():
    encoder = Encoder(MIXED, (0,), (1,), (5.0,), (1.0,))
    encoded = encoder(np.array([[5.0, "x"], [5.0, "y"]], dtype=object))

    assert np.linalg.norm(encoded[0] - encoded[1]) == pytest.approx(1)


@pytest.mark.parametrize("columns", [WIDTH - 1, WIDTH, WIDTH + 1, 500])
def test_more_columns_than_are_kept_are_folded(columns):
    features = [Feature(f"x{i}") for i in range(columns)]
    encoder = Encoder(features, range(columns), (), [0.0] * columns, [1.0] * columns)
    rows = np.random.default_rng(0).normal(size=(7, columns))

    assert encoder(rows).shape == (7, min(columns, WIDTH))
    assert encoder.plain is (columns <= WIDTH)


def test_folding_keeps_distances_about_as_they_are():
    """By random signs (Achlioptas 2003)."""
    many = 400
    features = [Feature(f"x{i}") for i in range(many)]
    encoder = Encoder(features, range(many), (), [0.0] * many, [1.0] * many)
    rows = np.random.default_rng(0).normal(size=(60, many))
    plain, folded = np.arcsinh(rows), encoder(rows)
    far = np.linalg.norm(plain[:30] - plain[30:], axis=1)
    kept = np.linalg.norm(folded[:30] - folded[30:], axis=1)

    assert np.abs(kept / far - 1).mean() < 0.15


def test_near_rows_share_a_fingerprint_and_far_ones_do_not(target, space):
    encoded, others = space.encode(target.train[:50]), space.encode(target.train[50:100])
    fingerprints = space.bands(encoded)

    assert fingerprints.shape == (50, BANDS)
    assert fingerprints.dtype == np.uint32
    assert fingerprints.min() > 0
    assert (fingerprints == space.bands(encoded + 1e-4)).any(axis=1).mean() > 0.9
    assert not (fingerprints == space.bands(others)).any()


def test_two_processes_make_the_same_fingerprints():
    row = np.linspace(-2, 2, 12)[None]
    assert Fingerprints(12).bands(row).tolist() == Fingerprints(12).bands(row).tolist()


@pytest.mark.parametrize("width", [1, 3, 8, 64])
def test_a_fingerprint_is_of_any_width(width):
    assert Fingerprints(width).bands(np.zeros((3, width))).shape == (3, BANDS)
