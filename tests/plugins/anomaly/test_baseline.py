"""Customers are not called unusual more often than was said; every kind of attacker is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from plugins.anomaly.baseline import MAX_WINDOWS, MIN_WINDOWS, Baseline, TooFewWindows, train
from plugins.anomaly.window import FEATURES, NAMES
from tests import anomaly_traffic as traffic


@pytest.fixture(scope="module")
def usual():
    return traffic.trained()


@pytest.mark.parametrize("attacker", traffic.ATTACKERS)
def test_attackers_are_unusual(usual, attacker):
    rng = np.random.default_rng(7)
    scores = usual.score([attacker(rng).features() for _ in range(20)])
    assert all(score.unusual for score in scores)


def test_customers_who_were_not_trained_on_are_usual(usual):
    rng = np.random.default_rng(99)
    scores = usual.score(traffic.vectors(rng, 2000))
    assert sum(score.unusual for score in scores) <= 20  # one in a hundred


@pytest.mark.parametrize(
    ("attacker", "reason"),
    [
        (traffic.scanner, "missing"),
        (traffic.key_guesser, "unauthorized"),
        (traffic.fuzzer, "malformed"),
        (traffic.flooder, "requests"),
        (traffic.prober, "flagged"),
        (traffic.hoarder, "rows"),
        (traffic.crasher, "failed"),
    ],
)
def test_a_score_has_its_reasons(usual, attacker, reason):
    [score] = usual.score([attacker(np.random.default_rng(7)).features()])
    named = {found.feature: found for found in score.reasons}
    assert reason in named
    assert not named[reason].low <= named[reason].value <= named[reason].high


def test_what_never_happened_here_is_seen_although_it_was_constant_in_training(usual):
    """A forest fitted on constants would never split on them."""
    vector = list(traffic.customer(np.random.default_rng(3)).features())
    assert usual.rows[:, NAMES.index("failed")].max() == 0
    before = usual.score([vector])[0].score
    vector[NAMES.index("failed")] = 0.5
    [score] = usual.score([vector])
    assert score.score > before
    assert score.unusual


def test_the_same_windows_give_the_same_scores_in_every_worker(usual):
    again = Baseline.from_json(usual.to_json())
    rng = np.random.default_rng(5)
    windows = [*traffic.vectors(rng, 20), traffic.scanner(rng).features()]
    assert again.threshold == pytest.approx(usual.threshold, abs=1e-9)
    assert [v.score for v in again.score(windows)] == pytest.approx(
        [v.score for v in usual.score(windows)], abs=1e-6
    )


def test_a_usual_window_has_no_reasons(usual):
    scores = usual.score(traffic.vectors(np.random.default_rng(4), 50))
    assert all(score.reasons == () for score in scores if not score.unusual)


def test_no_windows_no_scores(usual):
    assert usual.score([]) == []


def test_of_a_few_windows_nobody_can_say_what_is_usual():
    rows = traffic.vectors(np.random.default_rng(0), MIN_WINDOWS - 1)
    with pytest.raises(TooFewWindows, match=str(MIN_WINDOWS)):
        train(rows, trained_at=0, false_alarms=0.01)


def test_of_too_many_the_newest_count():
    rows = [[float(number)] * len(NAMES) for number in range(MAX_WINDOWS + 10)]
    assert train(rows, trained_at=0, false_alarms=0.01).rows[0, 0] == 10


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("rows"),
        lambda data: data.update(features=["other"]),
        lambda data: data.update(rows=data["rows"][:10]),
        lambda data: data.update(rows=[row[:-1] for row in data["rows"]]),
        lambda data: data["rows"][0].__setitem__(0, float("nan")),
        lambda data: data.update(trained_at=None),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(usual, change):
    data = json.loads(usual.to_json())
    change(data)
    with pytest.raises(ValueError, match=r"baseline|windows"):
        Baseline.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "{"])
def test_text_that_is_no_baseline_is_refused(text):
    with pytest.raises(ValueError):
        Baseline.from_json(text)


def test_z_scores_are_distances_from_the_median_in_units_of_the_spread(usual):
    rows = np.array(traffic.vectors(np.random.default_rng(8), 50))
    low, middle, high = np.quantile(usual.rows, [0.01, 0.5, 0.99], axis=0)
    smallest = np.array([least for _, _, least in FEATURES])
    expected = np.clip((rows - middle) / np.maximum((high - low) / 4, smallest), -20, 20)

    assert usual._z_scores(rows) == pytest.approx(expected)


def test_the_profile_is_the_three_largest_z_scores_and_a_mahalanobis_distance(usual):
    rows = np.array(traffic.vectors(np.random.default_rng(8), 50))
    z_scores, all_scores = usual._z_scores(rows), usual._z_scores(usual.rows)
    covariance = np.cov(all_scores.T) + 0.1 * np.eye(len(NAMES))
    distances = [np.sqrt(z @ np.linalg.inv(covariance) @ z / len(NAMES)) for z in z_scores]
    profile = usual._profile(rows)

    assert profile[:, :3] == pytest.approx(np.sort(np.abs(z_scores), axis=1)[:, -3:])
    assert profile[:, 3] == pytest.approx(np.minimum(distances, 20.0))


def test_no_more_windows_of_the_training_are_unusual_than_was_asked(usual):
    for share in (0.0, 0.01, 0.1):
        baseline = Baseline(usual.rows, 0.0, share)
        unusual = sum(score.unusual for score in baseline.score(usual.rows))
        assert unusual <= share * len(usual.rows) + 1


def test_a_value_beyond_all_bounds_is_finite(usual):
    [score] = usual.score([[1e300] * len(NAMES)])
    assert 0 < score.score <= 1
    assert score.unusual


def test_a_mahalanobis_distance_of_a_profile_is_scipys(usual):
    rows = np.array(traffic.vectors(np.random.default_rng(8), 30))
    z_scores = usual._z_scores(rows)
    expected = [mahalanobis(z, np.zeros(len(NAMES)), usual._precision) for z in z_scores]
    assert usual._profile(rows)[:, 3] == pytest.approx(np.array(expected) / len(NAMES) ** 0.5)


def test_a_score_does_not_depend_on_the_windows_beside_it(usual):
    rows = traffic.vectors(np.random.default_rng(8), 20)
    alone = [usual.score([row])[0].score for row in rows]
    assert [each.score for each in usual.score(rows[::-1])] == pytest.approx(alone[::-1])


@pytest.mark.parametrize(
    "change",
    [
        {"false_alarms": -0.1},
        {"false_alarms": 1},
        {"false_alarms": 1e999},
        {"false_alarms": None},
        {"trained_at": 1e999},
        {"trained_at": "yesterday"},
        {"rows": "x"},
        {"rows": None},
        {"features": 7},
    ],
    ids=str,
)
def test_a_baseline_that_could_score_nothing_is_refused_when_it_is_read(usual, change):
    """Else the server would start, and each scoring would fail."""
    data = json.loads(usual.to_json())
    Baseline.from_json(json.dumps(data))
    with pytest.raises(ValueError, match=r"baseline|windows"):
        Baseline.from_json(json.dumps(data | change))


@pytest.mark.parametrize("text", ["[" * 100_000, b"\xff", '{"rows": [], "rows": []}'])
def test_text_that_json_readers_differ_about_is_no_baseline(text):
    with pytest.raises(ValueError, match="not a baseline"):
        Baseline.from_json(text)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.0999])
def test_each_share_that_can_be_typed_is_read_again(usual, share):
    found = Baseline(usual.rows, 5.0, share)
    again = Baseline.from_json(found.to_json())
    assert (again.trained_at, again.false_alarms) == (5.0, share)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e308, -1e308])
def test_an_infinite_feature_has_a_finite_score_with_finite_neighbours(usual, value):
    usual_row = list(usual.rows[0])
    odd = [value, *usual_row[1:]]
    found = usual.score([usual_row, odd])
    assert all(0 < each.score <= 1 for each in found)
    assert found[0] == usual.score([usual_row])[0]


def test_windows_that_were_all_the_same_make_a_baseline_that_scores():
    """A service with one client that asks the same each minute."""
    row = traffic.customer(np.random.default_rng(1)).features()
    found = train([row] * MIN_WINDOWS, trained_at=0, false_alarms=0.001)
    same, odd = found.score([row, traffic.scanner(np.random.default_rng(2)).features()])
    assert not same.unusual
    assert odd.unusual
    far = {reason.feature for reason in odd.reasons}
    assert len(far) == 3, "many features are far out, and none alone lowers the score"
    assert all(not reason.low <= reason.value <= reason.high for reason in odd.reasons)
