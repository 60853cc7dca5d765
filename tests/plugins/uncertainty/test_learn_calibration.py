"""A calibration says what it can of new rows, or sealing refuses and says why."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression, Ridge

from plugins.uncertainty.calibration import FALSE_FLAG_RATES
from plugins.uncertainty.conformal import CalibrationError
from plugins.uncertainty.learn_calibration import LEAST_ROWS, learn_calibration
from secureml.kit.cards import Feature, Labelled, Training
from tests.made_card import card

pytestmark = pytest.mark.usefixtures("crepes")
NAMES = ("a", "b", "c")
REGRESSOR = card(*map(Feature, NAMES))
CLASSIFIER = replace(REGRESSOR, kind="classifier", classes=(0, 1), has_probabilities=True)


def drawn(seed, rows):
    """Return rows of two groups, correlated and with a heavy tail, and their class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, size=rows)
    table = rng.standard_t(4, size=(rows, 3))
    table[:, 1] += 0.9 * table[:, 0] + 6 * labels
    return table, labels


def labelled(model, table, answers, classes=True):
    rows = [tuple(row) for row in table.tolist()]
    shares = model.predict_proba(table) if classes else None
    return Labelled(rows, table, answers.tolist(), model.predict(table), shares, "d" * 64)


def trained(made_card, model, table):
    columns = {} if table is None else dict(zip(NAMES, table.T.tolist(), strict=True))
    return Training(made_card, model, columns)


@pytest.mark.parametrize("has_table", [True, False])
def test_no_more_rows_like_those_of_the_calibration_are_flagged_than_is_said(has_table):
    """Over seeds; once in ten thousand runs chance alone would flag more."""
    seeds, held, new = 25, 400, 400
    flagged = dict.fromkeys(FALSE_FLAG_RATES, 0)
    for seed in range(seeds):
        table, labels = drawn(seed, 1200)
        model = LogisticRegression().fit(table[:400], labels[:400])
        training = trained(CLASSIFIER, model, table[:400] if has_table else None)
        found = learn_calibration(training, labelled(model, table[400:800], labels[400:800]))
        for rate in FALSE_FLAG_RATES:
            flagged[rate] += int((found.distance(table[800:]) > found.distances[rate]).sum())
    for rate, count in flagged.items():
        rows = held if has_table else held // 2
        deviation = math.sqrt(rate * (1 - rate) / (rows + 2) / seeds)
        assert count <= binom.ppf(1 - 1e-4, seeds * new, rate + 4 * deviation)
        assert count > 0.3 * rate * seeds * new  # a flag that is never raised is no flag


def test_rows_far_from_all_others_are_flagged_at_every_rate():
    table, labels = drawn(0, 800)
    model = LogisticRegression().fit(table[:400], labels[:400])
    found = learn_calibration(
        trained(CLASSIFIER, model, table[:400]), labelled(model, table[400:], labels[400:])
    )
    far = np.concatenate([table + np.array([60, 0, 0]), table * 100 + 500, -table - 80])

    assert found.distance(far).min() > max(found.distances.values())


def test_the_rows_that_thresholds_are_of_have_no_part_in_the_distance():
    """Of rows that had one, fewer would be flagged, and of new ones more than is said."""
    table, labels = drawn(1, 400)
    model = LogisticRegression().fit(table, labels)
    whole = labelled(model, table, labels)
    moved = table.copy()
    moved[1::2] += 50
    first = learn_calibration(trained(CLASSIFIER, model, None), whole)
    second = learn_calibration(trained(CLASSIFIER, model, None), labelled(model, moved, labels))

    assert first.distance(table).tolist() == second.distance(table).tolist()
    assert first.distances != second.distances


def test_without_a_table_of_its_own_a_sorted_calibration_flags_no_more():
    table, labels = drawn(2, 1200)
    order = np.argsort(labels[:800], kind="stable")
    model = LogisticRegression().fit(table, labels)
    held = labelled(model, table[:800][order], labels[:800][order])
    found = learn_calibration(trained(CLASSIFIER, model, None), held)

    assert len(found.distance.means) == 2
    assert (found.distance(table[800:]) > found.distances[0.05]).mean() < 0.1


def test_a_regressor_has_an_interval_and_one_mean():
    table, _ = drawn(0, 300)
    numbers = table @ [1.0, 2.0, 3.0]
    model = Ridge().fit(table[:150], numbers[:150] + 0.1)
    found = learn_calibration(
        trained(REGRESSOR, model, table[:150]),
        labelled(model, table[150:], numbers[150:], classes=False),
    )
    assert len(found.distance.means) == 1
    assert list(found.thresholds) == [0.8, 0.9, 0.95, 0.99]
    assert found.known_rows == 0


def test_with_few_rows_only_what_they_can_promise_is_promised():
    table, labels = drawn(0, 400 + LEAST_ROWS)
    model = LogisticRegression().fit(table[:400], labels[:400])
    found = learn_calibration(
        trained(CLASSIFIER, model, table[:400]), labelled(model, table[400:], labels[400:])
    )
    assert list(found.thresholds) == [0.8, 0.9, 0.95]
    assert list(found.distances) == [0.05]


def test_of_words_alone_no_distance_is_measured():
    table, labels = drawn(0, 100)
    model = LogisticRegression().fit(table, labels)
    words = replace(CLASSIFIER, features=tuple(Feature(name, "text") for name in NAMES))
    found = learn_calibration(trained(words, model, None), labelled(model, table, labels))

    assert (found.distance, found.distances) == (None, {})
    assert found.thresholds


def refused(made_card, rows=100, table=None, **words):
    given, labels = drawn(0, rows)
    model = LogisticRegression().fit(given, labels)
    told = replace(labelled(model, given, labels), **words)
    with pytest.raises(CalibrationError) as error:
        learn_calibration(trained(made_card, model, given if table else None), told)
    return f"{error.value}; fix: {error.value.fix}"


def test_the_very_table_the_model_was_fitted_on_is_refused():
    said = refused(CLASSIFIER, table=True)
    assert "every row of the table of --calibrate is in the table" in said
    assert "train_test_split" in said


def test_rows_that_are_in_both_tables_are_counted():
    table, labels = drawn(0, 400)
    model = LogisticRegression().fit(table[:200], labels[:200])
    found = learn_calibration(
        trained(CLASSIFIER, model, table[:200]), labelled(model, table[150:], labels[150:])
    )
    assert (found.known_rows, found.rows) == (50, 250)


@pytest.mark.parametrize(
    ("made_card", "message"),
    [
        (replace(CLASSIFIER, has_probabilities=False), "CalibratedClassifierCV"),
        (replace(REGRESSOR, outputs=2), "one answer a row"),
        (replace(REGRESSOR, kind="outlier"), "one answer a row"),
        (replace(REGRESSOR, kind="transformer"), "one answer a row"),
    ],
)
def test_a_model_that_cannot_be_calibrated_is_refused_with_the_way_out(made_card, message):
    assert message in refused(made_card)


def test_too_few_rows_are_refused():
    assert f"has {LEAST_ROWS - 1} rows, and at least {LEAST_ROWS}" in refused(
        CLASSIFIER, rows=LEAST_ROWS - 1
    )
