"""A small part of script/theft-bench, so that a change that blinds the guard is seen at once."""

from __future__ import annotations

import customers
import evasion
import extraction
import numpy as np
import pytest
from service import FULL, LABELS, Case, Service
from subjects import subject

NAMES = ("cancer-logistic", "mixed-boosting")
EVERY = (*NAMES, "wine-logistic")


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theft")
    return {name: subject(*name.split("-"), folder) for name in EVERY}


@pytest.fixture
def case(targets, tmp_path):
    """Return a function that lets somebody ask one model until it is noticed."""
    open_services = []

    def run(name, make, most, fidelity=FULL, *, stop=True, **table):
        service = Service(targets[name], tmp_path / str(len(open_services)), fidelity, **table)
        open_services.append(service)
        return Case(service).run(make(targets[name]), most, stop=stop)

    yield run
    for service in open_services:
        service.close()


def held(target, chance, many=10):
    return target.fresh[chance.permutation(len(target.fresh) // 2)[:many]]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_customer_of_ten_is_flagged_in_five_hundred_questions(case, name):
    kinds = ("held-out rows", "batches", "mostly one answer", "same row again", "drifting")
    for kind in kinds:
        for seed in range(2):
            chance = np.random.default_rng(seed)
            found = case(name, lambda t, k=kind, c=chance: customers.CUSTOMERS[k](t, c), 500)
            assert found.noticed is None, (kind, seed, found.reasons)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "attack", ["uniform", "gaussian", "shuffled columns", "grid", "equation solving"]
)
def test_who_holds_no_data_is_noticed_before_its_copy_agrees_in_nine_of_ten(
    case, targets, name, attack
):
    """By labels alone: with full probabilities a linear model falls to d + 1 questions."""
    for seed in range(2):
        chance = np.random.default_rng(seed)
        found = case(
            name, lambda t, c=chance: extraction.ATTACKS[attack][1](t, c, None), 100, LABELS
        )
        assert found.noticed is not None
        had = extraction.agreement(targets[name], found.table, found.labels, None)
        assert had < 0.9, (found.noticed, had)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_who_asks_for_fifty_made_up_rows_at_once_is_given_none(case, name):
    chance = np.random.default_rng(6)
    make = extraction.ATTACKS["uniform, 50 a request"][1]
    found = case(name, lambda t: make(t, chance, None), 100, actions=["coarsen", "throttle"])

    assert found.refused
    assert found.rows == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("attack", sorted(evasion.ATTACKS))
def test_who_feels_out_the_boundary_is_noticed_before_half_its_targets_fall(
    case, targets, name, attack
):
    chance = np.random.default_rng(4)
    rows, diary = held(targets[name], chance), evasion.Diary(targets[name])
    found = case(name, lambda t: evasion.ATTACKS[attack](t, chance, rows, diary), 400, LABELS)

    assert found.noticed is not None
    assert found.noticed <= 100
    assert diary.successes() < 5


@pytest.mark.slow
def test_who_sends_real_rows_looks_like_a_customer_and_only_a_budget_bounds_it(case):
    """Class C of the threat table; if this fails, docs/theft.md promises too little."""
    chance = np.random.default_rng(5)
    make = extraction.ATTACKS["knockoff, real rows"][1]
    found = case("mixed-boosting", lambda t: make(t, chance, None), 500, stop=False)

    assert found.noticed is None
    assert len(found.rows) == 500
