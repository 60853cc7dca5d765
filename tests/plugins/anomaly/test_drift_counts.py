"""What workers counted for the drift index adds up, ends with its window and is not lost."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from plugins.anomaly.drift import Bins, population_stability
from plugins.anomaly.drift_counts import HOUR, BinsKey, DriftCounters, DriftStore
from plugins.anomaly.feature_bins import LEVELS, bins_of
from secureml import Store, StoreUnavailable
from secureml.kit.cards import Feature, Section
from secureml.testing import Clock
from tests import anomaly_rows as rows
from tests.made_card import card

DAY = 86400.0
TABLE = np.random.default_rng(1).normal(size=(50, 2))
EDGES = tuple(tuple(np.quantile(column, LEVELS)) for column in TABLE.T)
BARE = card(Feature("a"), Feature("b"))


def with_bins(edges):
    written = {"columns": [0, 1], "edges": [list(map(float, each)) for each in edges]}
    return replace(BARE, sections={"anomaly": Section(private=written)})


CARD, OTHER = with_bins(EDGES), with_bins(EDGES[::-1])
BINS = Bins(CARD.features, bins_of(CARD))
KEY = BinsKey.of("m", "1", BINS)
TEN = np.array([[4, 6, 0, 0, 0, 0, 0, 0], [10, 0, 0, 0, 0, 0, 0, 0]])  # ten rows of two features


@pytest.fixture
def workers(tmp_path):
    clock = Clock(3600.0 * 1000)
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield clock, [DriftStore(store, clock, DAY) for store in (one, other)]


def rows_of(drift, key=KEY):
    """Return how many rows each feature has, None for none."""
    found = drift.total(key, BINS.shape)
    return None if found is None else found.sum(axis=1).tolist()


def write(drift, text, hour, key=KEY):
    """Put a row of counts in the store as it stands."""
    rows.run(
        drift._store,
        "INSERT INTO anomaly_drift VALUES (:model, :version, :hour, :counts)",
        model=key.model,
        version=key.version,
        hour=hour,
        counts=text,
    )


# Counting in a worker.


def test_a_card_without_a_table_has_nothing_to_compare():
    counters = DriftCounters()
    counters.count("m", "1", BARE, TABLE[:5])
    assert counters.take() == {}


def test_rows_are_counted_in_the_bins_of_the_card():
    counters = DriftCounters()
    for part in (TABLE[:1], TABLE[1:7], TABLE[7:]):
        counters.count("m", "1", CARD, part)
    expected = BINS.empty()
    BINS.add(expected, TABLE)
    assert (counters.take()[KEY] == expected).all()


def test_what_could_not_be_written_is_kept():
    counters = DriftCounters()
    counters.count("m", "1", CARD, TABLE[:10])
    taken = counters.take()
    counters.count("m", "1", CARD, TABLE[:5])
    counters.put_back(taken)
    assert counters.take()[KEY].sum(axis=1).tolist() == [15, 15]


def test_versions_of_a_model_are_counted_apart():
    counters = DriftCounters()
    for version, of_version in (("1", CARD), ("2", OTHER), ("1", CARD)):
        counters.count("m", version, of_version, TABLE[:3])
    found = {key.version.split(":")[0]: counts[0].sum() for key, counts in counters.take().items()}
    assert found == {"1": 6, "2": 3}
    assert counters.take() == {}


def test_models_with_the_same_bins_are_counted_apart():
    counters = DriftCounters()
    counters.count("m", "1", CARD, TABLE[:3])
    counters.count("n", "1", CARD, TABLE[:2])
    assert sorted(int(counts[0].sum()) for counts in counters.take().values()) == [2, 3]


def test_a_card_is_read_once_and_not_for_each_request(monkeypatch):
    read = []
    monkeypatch.setattr(
        "plugins.anomaly.drift_counts.bins_of", lambda card: read.append(card) or bins_of(card)
    )
    counters = DriftCounters()
    for _ in range(5):
        counters.count("m", "1", CARD, TABLE[:1])
    for _ in range(5):
        counters.count("bare", "1", BARE, TABLE[:1])
    assert read == [CARD, BARE]


def test_a_model_sealed_again_under_its_old_version_is_counted_in_its_own_bins():
    """It was removed whole, so that version 1 is given again: the counts of both stay apart."""
    counters = DriftCounters()
    counters.count("m", "1", CARD, TABLE[:3])
    counters.count("m", "1", OTHER, TABLE[:2])
    written = {"columns": [0], "edges": [list(map(float, EDGES[1]))]}
    narrow = replace(card(Feature("b")), sections={"anomaly": Section(private=written)})
    counters.count("m", "1", narrow, TABLE[:1, 1:])
    taken = counters.take()
    assert len({key.version for key in taken}) == 3
    assert [counts.sum(axis=1).tolist() for counts in taken.values()] == [[3, 3], [2, 2], [1]]
    counters.put_back(taken)
    assert counters.take().keys() == taken.keys()


def test_threads_lose_no_rows():
    counters = DriftCounters()

    def count():
        for _ in range(100):
            counters.count("m", "1", CARD, TABLE[:1])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.take()[KEY].sum(axis=1).tolist() == [400, 400]


# Adding up in the store.


def test_what_workers_counted_adds_up_over_the_window_and_ends_with_it(workers):
    clock, (one, other) = workers
    for each in (one, other, one):
        each.add({KEY: TEN})
    clock.advance(3600)
    other.add({KEY: TEN})
    assert rows_of(one) == [40, 40]
    assert rows_of(one, BinsKey("m", "2")) is None
    clock.advance(DAY)
    one.add({BinsKey("m", "2"): TEN})
    assert rows_of(one) == [10, 10]


def test_each_bin_is_added_to_itself(workers):
    _, (one, other) = workers
    counts = np.arange(16).reshape(2, 8)
    one.add({KEY: counts})
    other.add({KEY: counts[::-1]})
    assert one.total(KEY, BINS.shape).tolist() == (counts + counts[::-1]).tolist()


def test_no_counts_write_nothing(workers):
    _, (one, _) = workers
    one.add({})
    assert rows_of(one) is None


@pytest.mark.parametrize(("hours", "rows"), [(24.0, 10), (24.99, 10), (25.0, None)])
def test_an_hour_counts_until_all_of_it_is_older_than_the_window(workers, hours, rows):
    clock, (one, other) = workers
    one.add({KEY: TEN})
    clock.advance(hours * 3600)
    assert rows_of(other) == (rows and [rows, rows])


def test_attack_a_model_is_a_row_an_hour_and_no_hour_is_kept_beyond_the_window(workers):
    clock, (one, other) = workers
    for number in range(100):
        (one, other)[number % 2].add({KEY: TEN})
        clock.advance(HOUR)
        [(count,)] = rows.look(one._store, "SELECT count(*) FROM anomaly_drift")
        assert count <= DAY / HOUR + 1


def test_a_row_that_is_older_than_anything_does_not_count_and_is_removed(workers):
    _, (one, _) = workers
    write(one, json.dumps(TEN.tolist()), -1e18)
    assert rows_of(one) is None
    one.add({KEY: TEN})
    assert rows.look(one._store, "SELECT hour FROM anomaly_drift WHERE hour < 0") == []
    assert rows_of(one) == [10, 10]


# A clock that is set back.


def test_rows_of_an_hour_ahead_of_a_clock_that_was_set_back_still_count(workers):
    clock, (one, _) = workers
    one.add({KEY: TEN})
    clock.advance(-7200)
    one.add({KEY: TEN})
    assert rows_of(one) == [20, 20]


def test_rows_of_a_clock_that_was_a_year_ahead_do_not_count_for_a_year(workers):
    clock, (one, other) = workers
    clock.advance(365 * DAY)
    one.add({KEY: TEN * 7})
    clock.advance(-365 * DAY)
    assert rows_of(other) is None
    other.add({KEY: TEN})
    [(count,)] = rows.look(one._store, "SELECT count(*) FROM anomaly_drift")
    assert count == 1
    clock.advance(365 * DAY)
    one.add({BinsKey("n", "1"): TEN})
    assert rows_of(one) is None, "nor when that time has come"


# Rows that cannot be read.


@pytest.mark.parametrize("text", rows.UNREADABLE.values(), ids=rows.UNREADABLE)
def test_a_row_that_cannot_be_read_does_not_count_and_the_others_do(workers, text):
    clock, (one, other) = workers
    one.add({KEY: TEN})
    clock.advance(HOUR)
    write(one, text, clock() // HOUR * HOUR)
    assert rows_of(other) == [10, 10]


@pytest.mark.parametrize("text", rows.UNREADABLE.values(), ids=rows.UNREADABLE)
def test_a_row_that_cannot_be_read_is_begun_anew_and_an_operator_learns_where(
    workers, text, caplog
):
    clock, (one, other) = workers
    write(one, text, clock() // HOUR * HOUR)
    other.add({KEY: TEN})
    one.add({KEY: TEN})
    assert rows_of(one) == [20, 20]
    [record] = caplog.records
    assert "anomaly_drift" in record.getMessage()
    assert "model m" in record.getMessage()
    assert "fix: " in record.getMessage()


@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (2, 7)])
def test_counts_of_another_shape_are_not_added(workers, shape):
    clock, (one, other) = workers
    one.add({KEY: TEN})
    clock.advance(HOUR)
    write(one, json.dumps(np.ones(shape, dtype=int).tolist()), clock() // HOUR * HOUR)
    assert rows_of(other) == [10, 10]
    other.add({KEY: TEN})
    assert rows_of(other) == [20, 20]


@pytest.mark.parametrize("count", [1.5, -1, True, 2**63])
def test_a_count_that_is_no_number_of_rows_does_not_count(workers, count):
    clock, (one, _) = workers
    counts = TEN.tolist()
    counts[1][3] = count
    write(one, json.dumps(counts), clock() // HOUR * HOUR)
    assert rows_of(one) is None


def test_the_first_row_of_an_hour_is_no_fault(workers, caplog):
    _, (one, _) = workers
    one.add({KEY: TEN})
    assert caplog.records == []


def test_two_workers_that_come_first_in_an_hour_lose_nothing(workers):
    """Both would make the row; neither fails because the other was there."""
    _, both = workers
    ready = threading.Barrier(2)

    def add(drift):
        ready.wait(10)
        for _ in range(20):
            drift.add({KEY: TEN})

    threads = [threading.Thread(target=add, args=(each,)) for each in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows_of(both[0]) == [400, 400]


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
            drift.total(KEY, BINS.shape)
    counters.put_back(taken)
    assert counters.take()[KEY].sum(axis=1).tolist() == [4, 4]


# The index of what is in the store.


def test_the_drift_of_a_card_is_the_index_of_all_its_counts_in_the_window(workers):
    clock, (one, other) = workers
    moved = np.zeros((2, 8), dtype=np.int64)
    moved[0, 7], moved[1] = 800, [16, 64, 120, 200, 200, 120, 64, 16]
    for each in (one, other):
        each.add({KEY: moved // 2})
        clock.advance(HOUR)
    assert one.drift_of("m", "1", CARD) == population_stability(BINS, moved)
    assert [each.feature for each in one.drift_of("m", "1", CARD)] == ["a", "b"]


def test_counts_in_the_bins_of_another_card_are_no_drift_of_this_one(workers):
    """Of a model that was removed, under whose name and version another was sealed."""
    _, (one, _) = workers
    one.add({KEY: TEN * 100})
    assert one.drift_of("m", "1", CARD)
    assert one.drift_of("m", "1", OTHER) == []
    assert one.drift_of("m", "2", CARD) == []
    assert one.drift_of("n", "1", CARD) == []


def test_a_card_without_bins_has_no_drift(workers):
    _, (one, _) = workers
    assert one.drift_of("m", "1", BARE) == []
