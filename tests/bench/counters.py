"""What one hit costs in the storage over SQLite and, where there is one, over Redis.

PYTHONPATH=. python tests/bench/counters.py [REDIS_URL]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from limits import RateLimitItemPerHour
from limits.storage import storage_from_string

import plugins.rate_limit.sqlite_storage  # noqa: F401 - registers the scheme
from plugins.rate_limit.strategies import STRATEGIES


def timed(call: Callable[[], object], times: int = 3000) -> float:
    """Return the median microseconds of a call."""
    found = []
    for _ in range(times):
        begin = time.perf_counter_ns()
        call()
        found.append(time.perf_counter_ns() - begin)
    return statistics.median(found) / 1000


def report(urls: dict[str, str]) -> list[dict[str, object]]:
    """Print microseconds a hit, for each place and strategy."""
    rows: list[dict[str, object]] = []
    print(
        f"{'microseconds a hit, with what is left':<40}" + "".join(f"{n:>26}" for n in STRATEGIES)
    )
    for place, url in urls.items():
        storage: Any = storage_from_string(url)
        costs = {}
        for name, made in STRATEGIES.items():
            strategy, item = made(storage), RateLimitItemPerHour(10**9)
            costs[name] = timed(partial(strategy.hit_with_stats, item, name))
        print(f"{place:<40}" + "".join(f"{cost:>26.1f}" for cost in costs.values()))
        rows.append({"place": place, **costs})
        if hasattr(storage, "close"):
            storage.close()
    return rows


def files(folder: str, *more: str) -> dict[str, str]:
    """Return where to count: a file in a folder, and other URLs."""
    found = {"SQLite file": f"sqlite+counters://{folder}/c.db", "memory (one process)": "memory://"}
    return found | {url.partition("://")[0]: url for url in more}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        report(files(place, *sys.argv[1:]))
