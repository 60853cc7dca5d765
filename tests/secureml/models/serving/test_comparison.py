from __future__ import annotations

import json

import pytest

from secureml.models.serving.comparison import LABELS, OTHER, Comparison, Side
from secureml.models.serving.handle import Result
from secureml.state.deployments import TrialLimits

CLASSES = ("a", "b")


def labels(*answers, probabilities=None):
    return Result(list(answers), probabilities, CLASSES)


def test_rows_answered_alike_and_otherwise_are_counted():
    found = Comparison()
    found.add(labels("a", "b"), labels("a", "a"))

    assert (found.rows, found.differing, found.disagreement) == (2, 1, 0.5)


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        (1.0, 1.0 + 1e-9, 0),
        (1.0, 1.001, 1),
        (0.0, 1e-9, 0),
        ([1.0, 2.0], [1.0, 2.0], 0),
        ([1.0, 2.0], [1.0, 2.5], 1),
        ([1.0], [1.0, 2.0], 1),
        (1, 2, 1),
        (True, True, 0),
    ],
)
def test_amounts_are_compared_up_to_rounding(one, other, differing):
    found = Comparison()
    found.add(Result([one]), Result([other]))

    assert found.differing == differing


def test_attack_labels_without_end_do_not_fill_the_store():
    found = Comparison()
    found.add(labels("a" * 10**6), labels("b" * 10**6))

    assert len(json.dumps(found.to_json())) < 2000
    assert (found.drift, found.differing) == (1.0, 1)


def test_amounts_whose_squares_are_no_numbers_have_a_drift():
    found = Comparison()
    found.add(Result([1e200, 1e200]), Result([1.0, 1.0]))

    assert found.drift == 1.0


def test_probabilities_are_compared_class_by_class():
    found = Comparison()
    one = labels("a", "b", probabilities=[[0.9, 0.1], [0.2, 0.8]])
    other = labels("a", "b", probabilities=[[0.7, 0.3], [0.2, 0.8]])
    found.add(one, other)

    assert found.probability_difference == pytest.approx(0.2)


def test_probabilities_of_other_classes_are_not_compared():
    found = Comparison()
    found.add(labels("a", probabilities=[[1.0, 0.0]]), Result(["a"], [[0.0, 1.0]], ("b", "a")))

    assert found.probability_difference == 0.0


def test_drift_of_labels_is_how_far_their_shares_are_apart():
    found = Comparison()
    found.add(labels(*"aaab"), labels(*"abbb"))

    assert found.drift == pytest.approx(0.5)


def test_drift_of_amounts_is_in_deviations_of_the_version_in_use():
    found = Comparison()
    found.add(Result([1.0, 3.0]), Result([2.0, 4.0]))

    assert found.drift == pytest.approx(1.0)  # the mean moves by 1, the deviation is 1


def test_drift_of_an_answer_that_never_varied_is_all_or_nothing():
    same, apart = Comparison(), Comparison()
    same.add(Result([1.0]), Result([1.0]))
    apart.add(Result([1.0]), Result([2.0]))

    assert (same.drift, apart.drift) == (0.0, 1.0)


def test_labels_beyond_the_limit_are_counted_as_one():
    side = Side()
    side.answered([f"label {n}" for n in range(LABELS + 5)], labels=True)

    assert len(side.labels) == LABELS + 1
    assert side.labels[OTHER] == 5


def test_the_sum_of_workers_is_one_comparison_and_json_carries_it():
    parts = []
    for _ in range(2):
        part = Comparison()
        part.add(labels("a", "b"), labels("a", "a"))
        part.add_unanswered(2)
        part.in_use.count(failed=False)
        part.tried.count(failed=True)
        part.tried.time(5_000)
        part.dropped += 1
        parts.append(Comparison.from_json(json.loads(json.dumps(part.to_json()))))
    whole = Comparison.sum(parts)

    assert (whole.rows, whole.differing, whole.dropped) == (8, 6, 2)
    assert (whole.tried.requests, whole.tried.failed, whole.tried.mean_microseconds) == (2, 2, 5)
    assert whole.in_use.labels == {"a": 2, "b": 2}


def test_nothing_was_compared_means_no_number_is_made_up():
    found = Comparison()

    assert (found.disagreement, found.drift, found.latency_ratio) == (0.0, 0.0, 0.0)
    assert found.reason_to_stop(TrialLimits(least=1, disagreement=0.0)) == ""


def of(requests=100, failed=0, microseconds=100, rows=100, differing=0):
    found = Comparison(rows=rows, differing=differing)
    found.in_use = Side(100, 0, 100 * 100, 100)
    found.tried = Side(requests, failed, microseconds * 100, 100)
    return found


@pytest.mark.parametrize(
    ("sums", "limits", "says"),
    [
        (of(), TrialLimits(), ""),
        (of(failed=1), TrialLimits(), ""),
        (of(failed=2), TrialLimits(), "2.0% of its requests failed"),
        (of(failed=2), TrialLimits(error_rate=None), ""),
        (of(requests=99, failed=50), TrialLimits(), ""),
        (of(microseconds=301), TrialLimits(), "3.0 times as long"),
        (of(microseconds=301), TrialLimits(latency=None), ""),
        (of(differing=100), TrialLimits(), ""),
        (of(differing=11), TrialLimits(disagreement=0.1), "11.0% of the rows otherwise"),
        (of(differing=10), TrialLimits(disagreement=0.1), ""),
        (of(rows=99, differing=99), TrialLimits(disagreement=0.1), ""),
    ],
)
def test_a_trial_ends_where_a_limit_is_passed_and_enough_was_seen(sums, limits, says):
    assert says in sums.reason_to_stop(limits)
    assert bool(says) == bool(sums.reason_to_stop(limits))


def test_failures_that_the_version_in_use_has_as_well_end_no_trial():
    sums = of(failed=50)
    sums.in_use.failed = 50

    assert sums.reason_to_stop(TrialLimits()) == ""
