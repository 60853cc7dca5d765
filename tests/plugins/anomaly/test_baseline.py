"""Customers are not called unusual more often than was said; every kind of attacker is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plugins.anomaly.baseline import LEAST, MOST, Baseline, TooFew, learn
from plugins.anomaly.window import NAMES
from tests import anomaly_traffic as traffic


@pytest.fixture(scope="module")
def usual():
    return traffic.trained()


@pytest.mark.parametrize("attacker", traffic.ATTACKERS)
def test_attackers_are_unusual(usual, attacker):
    dice = np.random.default_rng(7)
    verdicts = usual.judge([attacker(dice).features() for _ in range(20)])
    assert all(verdict.unusual for verdict in verdicts)


def test_customers_who_were_not_learned_from_are_usual(usual):
    dice = np.random.default_rng(99)
    verdicts = usual.judge(traffic.vectors(dice, 2000))
    assert sum(verdict.unusual for verdict in verdicts) <= 20  # one in a hundred


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
def test_a_score_says_what_made_it(usual, attacker, reason):
    [verdict] = usual.judge([attacker(np.random.default_rng(7)).features()])
    named = {found.feature: found for found in verdict.reasons}
    assert reason in named
    assert not named[reason].low <= named[reason].value <= named[reason].high


def test_what_never_happened_here_is_seen_although_no_usual_window_told_of_it(usual):
    """A forest fitted on constants would never ask about them."""
    vector = list(traffic.customer(np.random.default_rng(3)).features())
    assert usual.rows[:, NAMES.index("failed")].max() == 0
    before = usual.judge([vector])[0].score
    vector[NAMES.index("failed")] = 0.5
    [verdict] = usual.judge([vector])
    assert verdict.score > before
    assert verdict.unusual


def test_the_same_windows_give_the_same_scores_in_every_worker(usual):
    again = Baseline.from_json(usual.to_json())
    dice = np.random.default_rng(5)
    asked = [*traffic.vectors(dice, 20), traffic.scanner(dice).features()]
    assert again.threshold == pytest.approx(usual.threshold, abs=1e-9)
    assert [v.score for v in again.judge(asked)] == pytest.approx(
        [v.score for v in usual.judge(asked)], abs=1e-6
    )


def test_a_usual_window_has_no_reasons(usual):
    verdicts = usual.judge(traffic.vectors(np.random.default_rng(4), 50))
    assert all(verdict.reasons == () for verdict in verdicts if not verdict.unusual)


def test_no_windows_no_verdicts(usual):
    assert usual.judge([]) == []


def test_of_a_few_windows_nobody_can_say_what_is_usual():
    rows = traffic.vectors(np.random.default_rng(0), LEAST - 1)
    with pytest.raises(TooFew, match=str(LEAST)):
        learn(rows, made=0, false_alarms=0.01)


def test_of_too_many_the_newest_count():
    rows = [[float(number)] * len(NAMES) for number in range(MOST + 10)]
    assert learn(rows, made=0, false_alarms=0.01).rows[0, 0] == 10


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("rows"),
        lambda data: data.update(features=["other"]),
        lambda data: data.update(rows=data["rows"][:10]),
        lambda data: data.update(rows=[row[:-1] for row in data["rows"]]),
        lambda data: data["rows"][0].__setitem__(0, float("nan")),
        lambda data: data.update(made=None),
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
