from __future__ import annotations

from types import SimpleNamespace

import pytest

from secureml.models.serving.served_model import Candidate, ServedModel

ONE, TWO = SimpleNamespace(version="1"), SimpleNamespace(version="2")
NAMES = [f"client-{n}" for n in range(2000)]


def served(share=0.5, *, canary=True, run="run"):
    return ServedModel(ONE, {"1": ONE}, Candidate(TWO, canary, share, run))


def given(model):
    return {name for name in NAMES if model.answering(name) is TWO}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_canary_is_given_its_share_of_the_clients(share):
    # Four standard deviations of a count of 2000: a fixed set of names, so no chance is left.
    margin = 4 * (share * (1 - share) / len(NAMES)) ** 0.5

    assert len(given(served(share))) / len(NAMES) == pytest.approx(share, abs=margin)


def test_a_client_stays_where_it_is_and_a_larger_share_keeps_those_it_had():
    assert given(served(0.2)) == given(served(0.2))
    assert given(served(0.2)) < given(served(0.6))


def test_another_trial_is_tried_by_others():
    assert given(served(0.2, run="one")) != given(served(0.2, run="two"))


def test_all_or_nobody():
    assert len(given(served(1.0))) == len(NAMES)
    assert given(served(0.0)) == set()


def test_a_shadow_answers_nobody():
    assert given(served(1.0, canary=False)) == set()


def test_without_a_candidate_the_version_in_use_answers():
    assert given(ServedModel(ONE, {"1": ONE})) == set()


def test_a_version_is_named_only_where_it_may_be():
    model = ServedModel(ONE, {"1": ONE}, Candidate(TWO, False, 1.0, "run"))

    assert model.version("1") is ONE
    assert model.version("2") is None
    assert model.handles() == {"1": ONE, "2": TWO}
