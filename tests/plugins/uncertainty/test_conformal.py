"""Thresholds are those of the library, and cover new rows as often as is said."""

from __future__ import annotations

import builtins
import math
import warnings

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression, Ridge

from plugins.uncertainty.calibration import intervals, prediction_sets
from plugins.uncertainty.conformal import (
    COVERAGES,
    CalibrationError,
    class_thresholds,
    quantiles,
    residual_thresholds,
)

pytestmark = pytest.mark.usefixtures("crepes")
CLASSES = ["low", "middle", "high"]
SEEDS = 30
NEW = 400  # rows of each seed whose true answer is looked for


def drawn(seed, rows):
    """Return rows and their answers, a class and a number, with noise in both."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, 3))
    number = table @ [2.0, -1.0, 0.5] + rng.standard_t(3, size=rows)
    return table, np.digitize(number, [-1.5, 1.5]), number


def tolerated(coverage, calibration_rows):
    """Return the fewest of SEEDS * NEW rows that chance leaves covered, once in ten thousand runs.

    Of one calibration the coverage of new rows varies, too (a beta distribution, Vovk 2012);
    the normal approximation of its mean over the seeds is taken off.
    """
    deviation = math.sqrt(coverage * (1 - coverage) / (calibration_rows + 2) / SEEDS)
    return int(binom.ppf(1e-4, SEEDS * NEW, coverage - 4 * deviation))


@pytest.mark.parametrize("place", range(len(COVERAGES)))
def test_sets_hold_the_true_class_as_often_as_is_said(place):
    covered = sizes = 0
    for seed in range(SEEDS):
        table, labels, _ = drawn(seed, 800 + NEW)
        model = LogisticRegression().fit(table[:400], labels[:400])
        held, new = slice(400, 800), slice(800, None)
        shares = model.predict_proba(table[held])
        threshold = class_thresholds(shares, CLASSES, [CLASSES[each] for each in labels[held]])
        sets = prediction_sets(model.predict_proba(table[new]), CLASSES, threshold[place])
        covered += sum(CLASSES[each] in one for each, one in zip(labels[new], sets, strict=True))
        sizes += sum(map(len, sets))

    assert covered >= tolerated(COVERAGES[place], 400)
    # Everything in every set would cover as well, and say nothing.
    assert sizes < 0.95 * SEEDS * NEW * len(CLASSES)


@pytest.mark.parametrize("place", range(len(COVERAGES)))
def test_intervals_hold_the_true_number_as_often_as_is_said_and_hardly_more(place):
    covered = 0
    for seed in range(SEEDS):
        table, _, numbers = drawn(seed, 800 + NEW)
        model = Ridge().fit(table[:400], numbers[:400])
        held, new = slice(400, 800), slice(800, None)
        threshold = residual_thresholds(model.predict(table[held]), numbers[held])[place]
        found = intervals(model.predict(table[new]).tolist(), threshold)
        pairs = zip(numbers[new], found, strict=True)
        covered += sum(low <= number <= high for number, (low, high) in pairs)

    assert covered >= tolerated(COVERAGES[place], 400)
    assert covered / (SEEDS * NEW) < COVERAGES[place] + 0.02


@pytest.mark.parametrize("rows", [40, 99, 100, 357])
def test_sets_are_those_of_the_library_for_every_row_and_coverage(crepes, rows):
    rng = np.random.default_rng(rows)
    held, new = (rng.dirichlet([0.5, 0.5, 0.5], size=size) for size in (rows, 200))
    if rows == 100:  # probabilities of a forest: many are equal
        held, new = np.round(held, 1), np.round(new, 1)
    answers = rng.integers(0, 3, size=rows)
    thresholds = class_thresholds(held, CLASSES, [CLASSES[each] for each in answers])
    library = crepes.ConformalClassifier().fit(1 - held[np.arange(rows), answers])

    for coverage, threshold in zip(COVERAGES, thresholds, strict=True):
        theirs = library.predict_set(1 - new, confidence=coverage, smoothing=False)
        if threshold is None:
            assert theirs.all()
            continue
        expected = [
            [name for name, is_in in zip(CLASSES, row, strict=True) if is_in] for row in theirs
        ]
        assert prediction_sets(new.tolist(), CLASSES, threshold) == expected


@pytest.mark.parametrize("rows", [40, 99, 357])
def test_intervals_are_those_of_the_library_to_the_bit(crepes, rows):
    rng = np.random.default_rng(rows)
    predictions, answers, new = (rng.normal(size=size) for size in (rows, rows, 50))
    thresholds = residual_thresholds(predictions, answers)
    library = crepes.ConformalRegressor().fit(answers - predictions)

    for coverage, threshold in zip(COVERAGES, thresholds, strict=True):
        if threshold is None:
            assert (rows, coverage) == (40, 0.99)
            continue
        theirs = library.predict_int(new, confidence=coverage)
        assert intervals(new.tolist(), threshold) == theirs.tolist()


def test_a_level_that_so_few_rows_cannot_promise_has_no_threshold():
    assert quantiles(np.arange(40.0), (0.95, 0.99))[1] is None
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], size=40)
    found = class_thresholds(shares, CLASSES, CLASSES * 13 + CLASSES[:1])
    assert [each is None for each in found] == [False, False, False, True]


def test_calibrating_leaves_the_filters_of_warnings_as_they_were():
    before = list(warnings.filters)
    quantiles(np.arange(40.0), (0.99,))
    assert list(warnings.filters) == before


def test_without_the_library_the_message_names_what_to_install(monkeypatch):
    import_ = builtins.__import__

    def without(name, *args, **words):
        if name.partition(".")[0] == "crepes":
            raise ImportError("No module named 'crepes'")
        return import_(name, *args, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CalibrationError, match="the \\[uncertainty\\] extra") as error:
        quantiles(np.arange(40.0), (0.9,))
    assert "script/extras uncertainty" in error.value.fix
