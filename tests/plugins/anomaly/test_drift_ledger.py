"""Counts of all workers add up, hour by hour, and end with the span."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from plugins.anomaly.drift_ledger import DriftLedger
from secureml import Store
from secureml.testing import Clock

TEN = np.array([[4, 6], [10, 0]])  # ten rows of two features


@pytest.fixture
def workers(tmp_path):
    clock = Clock(3600.0 * 1000)
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield clock, [DriftLedger(store, clock, 86400.0) for store in (one, other)]


def test_what_workers_counted_adds_up_over_the_span_and_ends_with_it(workers):
    clock, (one, other) = workers
    for ledger in (one, other, one):
        ledger.add({("m", "1"): TEN})
    clock.advance(3600)
    other.add({("m", "1"): TEN})
    assert one.total("m", "1").sum(axis=1).tolist() == [40, 40]
    assert one.total("m", "2") is None
    clock.advance(86400)
    one.add({("m", "2"): TEN})
    assert one.total("m", "1").sum(axis=1).tolist() == [10, 10]


def test_nothing_counted_is_nothing_written(workers):
    _, (one, _) = workers
    one.add({})
    assert one.total("m", "1") is None
