from __future__ import annotations

import pytest

from plugins.theft_guard import detectors
from plugins.theft_guard.detectors import ATTACKER, BINS, CUSTOMER, DETECTORS, REASONS


def test_every_detector_has_an_index_a_reason_and_shares():
    assert set(DETECTORS) == set(REASONS) == set(CUSTOMER) == set(ATTACKER)
    for index, name in enumerate(DETECTORS):
        assert getattr(detectors, name.upper()) == index


@pytest.mark.parametrize("name", DETECTORS)
def test_an_attackers_shares_add_up_to_one_and_favour_the_suspicious_bins(name):
    customer, attacker = CUSTOMER[name], ATTACKER[name]

    assert len(customer) == len(attacker) <= BINS
    assert sum(attacker) == pytest.approx(1)
    if name != "prada":
        assert attacker[0] < customer[0]
        assert attacker[-1] > customer[-1]


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "prada"])
def test_a_customers_shares_add_up_to_one(name):
    assert sum(CUSTOMER[name]) == pytest.approx(1)


def test_any_decile_may_hold_more_of_a_customers_rows_than_a_tenth():
    """PRADA deciles have no usual bin: what counts is that all rows crowd into a few of them."""
    assert set(CUSTOMER["prada"]) == {0.28}
    assert len(CUSTOMER["prada"]) == BINS


def test_names_are_short_enough_for_one_column_of_the_store():
    assert len(",".join(DETECTORS)) <= 200
