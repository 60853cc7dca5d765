"""A client that scans is held by both workers, whichever of them saw what, until it is lifted."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from live_serving import Served, UnixConnection, alone, ask, until

from tests import anomaly_traffic as traffic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from live_serving import Instance

pytestmark = pytest.mark.live

SETTINGS = """
[plugins.anomaly]
client_action = "hold"
address_action = "observe"
patience = 2
window = "1s"
flush_interval = "1s"
"""


@pytest.fixture(scope="module")
def watched(prepared: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    """A server of its own, trained on customers."""
    mine = prepared.copy(tmp_path_factory.mktemp("anomaly") / "instance")
    settings = mine.folder / "secureml.toml"
    text = settings.read_text().replace('"transport", ', '"transport", "anomaly", ')
    assert "anomaly" in text
    settings.write_text(text + SETTINGS)
    (mine.folder / "anomaly").mkdir()
    baseline = mine.folder / "anomaly" / "baseline.json"
    baseline.write_text(traffic.trained(500).to_json())
    served = Served(mine.folder).ready()
    yield mine, served
    served.stop()


def scan(served: Served, key: str) -> int:
    """Ask for fifty things that do not exist; return the last status."""
    with closing(served.connect()) as connection:
        found = [ask(connection, "GET", f"/v1/{number}.php", key) for number in range(50)]
    return found[-1].status


def statuses(served: Served, key: str) -> list[int]:
    workers = served.workers()
    found = []
    for worker in workers:
        with alone(worker, workers), closing(UnixConnection(served.instance)) as connection:
            found.append(ask(connection, "GET", "/v1/models", key, **connection.edge).status)
    return found


def test_a_scanner_is_held_by_both_workers_and_a_customer_is_not(watched: tuple) -> None:
    mine, served = watched
    scanner, customer = mine.key("scanner"), mine.key("customer")
    assert until(lambda: scan(served, scanner) == 403, 30)
    assert statuses(served, scanner) == [403, 403]
    assert statuses(served, customer) == [200, 200]

    [row] = [row for row in mine.run("anomaly", "list") if row["state"] == "hold"]
    assert row["subject"] == "client:scanner"
    assert "missing" in row["explanation"]

    mine.run("anomaly", "lift", "client:scanner")
    assert statuses(served, scanner) == [200, 200]


def test_what_was_counted_is_what_was_asked(watched: tuple) -> None:
    """No request is lost between the workers and none counted twice."""
    mine, served = watched
    key = mine.key("counted")
    for _ in range(40):
        assert served.ask("GET", "/v1/models", key).status == 200

    def counted() -> bool:
        return requests(mine.folder) == 40

    assert until(counted), requests(mine.folder)


def requests(folder: Path) -> int:
    from plugins.anomaly.window_store import WindowStore
    from secureml import Store

    with closing(Store(f"sqlite:///{folder / 'secureml.db'}")) as store:
        windows = WindowStore(store, lambda: 0.0, 10**6).complete(0, 1e12)
    return sum(w.requests for (subject, _), w in windows.items() if subject == "client:counted")
