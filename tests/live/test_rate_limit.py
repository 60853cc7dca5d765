"""Limits through real Nginx and Gunicorn with two workers: exact, also when a worker dies."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from live_serving import PREDICT, Served, ask, until

from secureml.models.serving.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from live_serving import Instance

pytestmark = [pytest.mark.live, pytest.mark.slow]

LIMITS = """
[[plugins.rate_limit.limits]]
for = "client"
allow = "1000 per hour"
strategy = "moving-window"
[[plugins.rate_limit.limits]]
for = "client"
allow = "50 per hour"
unit = "rows"
"""
CROWD = 16


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory, prepared: Instance, tool: object
) -> Iterator[tuple[Instance, Served]]:
    """An instance with limits and two workers over it."""
    tool("nginx", "apt-get install nginx-light")  # type: ignore[operator]
    folder: Path = tmp_path_factory.mktemp("limited") / "i"
    instance = prepared.copy(folder)
    with (folder / "secureml.toml").open("a") as file:
        file.write(LIMITS)
    server = Served(folder)
    try:
        yield instance, server.ready()
    finally:
        server.stop()


def burst(served: Served, key: str, hits: int, found: Counter[int]) -> list[threading.Thread]:
    """Begin to ask from many connections at once; ``found`` counts what is answered."""

    def hammer() -> None:
        connection = served.connect()
        for _ in range(-(-hits // CROWD)):
            try:
                status = ask(connection, "GET", "/v1/models", key).status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            found[status] += 1
        connection.close()

    crowd = [threading.Thread(target=hammer) for _ in range(CROWD)]
    for one in crowd:
        one.start()
    return crowd


def test_of_5000_requests_exactly_1000_pass(limited: tuple[Instance, Served]) -> None:
    instance, served = limited
    key = instance.key("burst")
    found: Counter[int] = Counter()
    for one in burst(served, key, 5000, found):
        one.join()
    assert found[200] == 1000
    assert set(found) == {200, 429}
    assert sum(found.values()) >= 5000


def test_a_worker_killed_in_the_middle_gives_nobody_more(limited: tuple[Instance, Served]) -> None:
    instance, served = limited
    key = instance.key("killed")
    found: Counter[int] = Counter()
    crowd = burst(served, key, 4000, found)
    assert until(lambda: found[200] > 200, 60)
    os.kill(served.workers()[0], signal.SIGKILL)
    for one in crowd:
        one.join()
    # What the dead worker had counted and not answered (four threads) is counted all the same.
    lost = found[502] + found[0]
    assert 1000 - max(lost, CROWD) <= found[200] <= 1000
    rows = {row["name"]: row for row in instance.run("limits", "explain", "killed")["limits"]}
    assert rows["client"]["remaining"] == 0
    assert until(lambda: len(served.workers()) == 2)


def test_rows_are_counted_and_the_refusal_tells_all_a_client_needs(
    limited: tuple[Instance, Served],
) -> None:
    site, served = limited
    key = site.key("rows")
    row = list(Registry(site.folder / "models").card("breast-cancer").golden.rows[0])
    with closing(served.connect()) as connection:
        first = ask(connection, "POST", PREDICT, key, {"instances": [row] * 40})
        second = ask(connection, "POST", PREDICT, key, {"instances": [row] * 40})
        third = ask(connection, "POST", PREDICT, key, {"instances": [row] * 51})
    assert (first.status, second.status, third.status) == (200, 429, 422)
    words = dict(second.headers)
    assert int(words["Retry-After"]) > 0
    assert '"client-rows";r=' in words["RateLimit"]
    assert 'secureml-unit="rows"' in words["RateLimit-Policy"]
