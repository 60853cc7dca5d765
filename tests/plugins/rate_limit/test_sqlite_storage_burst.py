"""Of any burst exactly as many pass as the limit says, whatever number of processes share it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from limits import RateLimitItemPerYear
from limits.strategies import STRATEGIES

from plugins.rate_limit.sqlite_storage import SQLiteStorage

sys.path.insert(0, str(Path(__file__).parent))
from burst import YEARS, Burst


@pytest.mark.slow
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_a_burst_of_5000_against_1000_lets_exactly_1000_through(tmp_path, strategy, workers):
    """With 16 threads in each process."""
    burst = Burst(tmp_path, [url_in(tmp_path)] * workers, strategy, 1000)
    burst.go(5000)
    assert burst.end() == 1000


@pytest.mark.slow
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("workers", [2, 4, 8])
def test_a_worker_killed_in_the_middle_takes_and_gives_nothing(tmp_path, strategy, workers):
    """What it was counting when it died is counted or not, and never twice nor half."""
    burst = Burst(tmp_path, [url_in(tmp_path)] * workers, strategy, 1000)
    burst.go(10_000)
    burst.kill_in_the_middle(200)
    passed = burst.end()
    assert burst.processes[0].returncode == -9
    # Each of its 16 threads may have been counted and died before it could say so.
    assert 1000 - 16 <= passed <= 1000
    storage = SQLiteStorage(url_in(tmp_path))
    counter = STRATEGIES[strategy](storage)
    assert (
        counter.get_window_stats(RateLimitItemPerYear(1000, YEARS), "client", "acme").remaining == 0
    )
    storage.close()


def url_in(folder):
    """Return the URL of a counter file."""
    return f"sqlite+counters://{folder}/c.db"
