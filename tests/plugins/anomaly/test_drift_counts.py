"""What workers counted for the drift index adds up, ends with its window and is not lost."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from plugins.anomaly.drift import DriftCounters, DriftStore
from plugins.anomaly.feature_bins import LEVELS
from secureml import Store, StoreUnavailable
from secureml.kit.cards import Feature, Section
from secureml.testing import Clock
from tests.made_card import card

TABLE = np.random.default_rng(1).normal(size=(50, 2))
EDGES = tuple(tuple(np.quantile(column, LEVELS)) for column in TABLE.T)
BARE = card(Feature("a"), Feature("b"))
SECTION = Section(
    private={"columns": [0, 1], "edges": [list(map(float, edges)) for edges in EDGES]}
)
CARD = replace(BARE, sections={"anomaly": SECTION})


@pytest.fixture
def workers(tmp_path):
    clock = Clock(3600.0 * 1000)
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield clock, [DriftStore(store, clock, 86400.0) for store in (one, other)]


def test_a_card_without_a_table_has_nothing_to_compare():
    counters = DriftCounters()
    counters.count("m", "1", BARE, TABLE[:5])
    assert counters.take() == {}


def test_what_could_not_be_written_is_kept():
    counters = DriftCounters()
    counters.count("m", "1", CARD, TABLE[:10])
    taken = counters.take()
    counters.count("m", "1", CARD, TABLE[:5])
    counters.put_back(taken)
    assert counters.take()["m", "1"].sum(axis=1).tolist() == [15, 15]


TEN = np.array([[4, 6], [10, 0]])  # ten rows of two features


def test_what_workers_counted_adds_up_over_the_window_and_ends_with_it(workers):
    clock, (one, other) = workers
    for each in (one, other, one):
        each.add({("m", "1"): TEN})
    clock.advance(3600)
    other.add({("m", "1"): TEN})
    assert one.total("m", "1").sum(axis=1).tolist() == [40, 40]
    assert one.total("m", "2") is None
    clock.advance(86400)
    one.add({("m", "2"): TEN})
    assert one.total("m", "1").sum(axis=1).tolist() == [10, 10]


def test_no_counts_write_nothing(workers):
    _, (one, _) = workers
    one.add({})
    assert one.total("m", "1") is None


def test_versions_of_a_model_are_counted_apart_and_a_card_is_read_once():
    counters = DriftCounters()
    for version in ("1", "2", "1"):
        counters.count("m", version, CARD, TABLE[:3])
    assert {key: counts[0].sum() for key, counts in counters.take().items()} == {
        ("m", "1"): 6,
        ("m", "2"): 3,
    }
    assert counters.take() == {}


@pytest.mark.parametrize(("hours", "rows"), [(24.0, 10), (24.99, 10), (25.0, None)])
def test_an_hour_counts_until_all_of_it_is_older_than_the_window(workers, hours, rows):
    clock, (one, other) = workers
    one.add({("m", "1"): TEN})
    clock.advance(hours * 3600)
    found = other.total("m", "1")
    assert (None if found is None else found.sum(axis=1).tolist()[0]) == rows


def test_rows_of_an_hour_ahead_of_a_clock_that_was_set_back_still_count(workers):
    clock, (one, _) = workers
    one.add({("m", "1"): TEN})
    clock.advance(-7200)
    one.add({("m", "1"): TEN})
    assert one.total("m", "1").sum() == 2 * TEN.sum()


def test_a_store_that_is_away_raises_and_what_was_counted_can_be_put_back(tmp_path):
    counters = DriftCounters()
    counters.count("m", "1", CARD, TABLE[:4])
    taken = counters.take()
    (tmp_path / "s.db").mkdir()  # no database
    with closing(Store(f"sqlite:///{tmp_path / 's.db'}")) as store:
        drift = DriftStore(store, Clock(), 3600.0)
        with pytest.raises(StoreUnavailable):
            drift.add(taken)
        with pytest.raises(StoreUnavailable):
            drift.total("m", "1")
    counters.put_back(taken)
    assert counters.take()["m", "1"].sum(axis=1).tolist() == [4, 4]
