"""Versions come and go under load: no request fails, and each answer is of the version it names.

Each version is a constant that is its own number, so an answer shows which version it is of. The
commands are an operator's, beside the service unit's own processes and Nginx.
"""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import joblib
import pytest
from live_serving import until
from live_unit import Unit
from sklearn.dummy import DummyRegressor

from tests.data_forms import seal_constants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Servers
    from live_servers import Answer, Edge
    from live_serving import Instance

pytestmark = pytest.mark.live

RATE, SECONDS, CLIENTS = 200, 60, 20  # requests a second, for how long, by how many
BODY = json.dumps({"instances": [[1.0, 2.0]]}).encode()
PREDICT = "/v1/models/number/predict"
UNLIMITED = '\n[[plugins.rate_limit.limits]]\nfor = "client"\nallow = "1000000000 per minute"\n'


class Site(NamedTuple):
    """Nginx, the service behind it, and a key for each client."""

    edge: Edge
    unit: Unit
    own: Instance
    keys: list[str]

    def ask(self, path: str = PREDICT, client: int = 0) -> Answer:
        headers = [("X-API-Key", self.keys[client]), ("Content-Type", "application/json")]
        return self.edge.ask("POST", path, headers, BODY, patience=60)

    def models(self, *words: str) -> dict[str, object]:
        return self.own.run("models", *words)


@pytest.fixture
def site(prepared: Instance, tmp_path: Path, servers: Servers) -> Iterator[Site]:
    own = prepared.copy(tmp_path / "i")
    with (own.folder / "secureml.toml").open("a") as settings:
        settings.write(UNLIMITED)
    seal_constants(own.folder, "number", 3)
    unit = Unit(own.folder)
    token = (own.folder / "keys/edge-token").read_text("utf-8").strip()
    edge = servers.edge(unit.path, sites={"edge_token": f'set $edge_token "{token}";'})
    try:
        unit.start()
        yield Site(edge, unit, own, [own.key(f"client-{n}") for n in range(CLIENTS)])
    finally:
        unit.stop()


class Load:
    """Clients that ask at a steady rate over connections that they keep."""

    def __init__(self, site: Site, threads: int = 8) -> None:
        self._site, self._over = site, threading.Event()
        self.answers: list[tuple[float, int, str, object]] = []  # when, status, version, answer
        self.faults: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(n, threads)) for n in range(threads)
        ]

    def _run(self, number: int, threads: int) -> None:
        choose, due = random.Random(number), time.monotonic()
        with closing(self._site.edge.connect(patience=60)) as connection:
            while not self._over.is_set():
                try:
                    self._ask(connection, choose.randrange(CLIENTS))
                except (OSError, ValueError, KeyError) as error:
                    self.faults.append(f"{type(error).__name__}: {error}")
                    connection.close()
                due = max(due + threads / RATE, time.monotonic() - 1)
                self._over.wait(max(due - time.monotonic(), 0))

    def _ask(self, connection: object, client: int) -> None:
        headers = {"X-API-Key": self._site.keys[client], "Content-Type": "application/json"}
        connection.request("POST", PREDICT, BODY, headers)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        if answer.status != 200:
            self.faults.append(f"{answer.status}: {found}")
            return
        row = (time.monotonic(), answer.status, found["model"]["version"], found["predictions"][0])
        self.answers.append(row)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def comes_to(self, versions: set[str]) -> bool:
        """Tell whether the answers come to be of these versions, in a minute at the most."""
        return until(lambda: self._now() == versions, 60)

    def _now(self) -> set[str]:
        """Return the versions of the next thirty answers, or more."""
        begin = time.monotonic()
        assert until(lambda: len(self.answers_since(begin)) >= 30, 60)
        return {version for _, _, version, _ in self.answers_since(begin)}

    def answers_since(self, begin: float) -> list[tuple[float, int, str, object]]:
        return [row for row in list(self.answers) if row[0] > begin]


def test_versions_change_under_load_and_no_request_fails(site: Site) -> None:
    begin = time.monotonic()
    with Load(site) as load:
        assert load.comes_to({"1"})

        assert site.models("use", "number", "2")["workers"] == 2
        assert load.comes_to({"2"})

        assert site.models("rollback", "number")["version"] == "1"
        assert load.comes_to({"1"})

        site.models("shadow", "number", "3")
        assert until(lambda: site.models("trial", "number")["rows"] >= 100, 60)
        shadow = site.models("trial", "number", "--stop")
        assert (shadow["kind"], shadow["disagreement"]) == ("shadow", 1.0)
        assert load.comes_to({"1"})

        site.models("canary", "number", "3", "--share", "0.5")
        assert load.comes_to({"1", "3"})
        assert [step.returncode for step in site.unit.reload()] == [0, 0]
        assert load.comes_to({"1", "3"})

        limits = ["--share", "0.5", "--after", "50", "--max-disagreement", "0.2"]
        site.models("canary", "number", "3", *limits)
        assert until(lambda: site.models("trial", "number")["stopped"] is not None, 60)
        assert "otherwise" in site.models("trial", "number")["why"]
        assert load.comes_to({"1"})

        assert until(lambda: time.monotonic() >= begin + SECONDS, SECONDS)
        taken = time.monotonic() - begin
    print(f"{len(load.answers)} answers in {taken:.0f} s, {len(load.answers) / taken:.0f} a second")
    assert load.faults == []
    assert {(version, answer) for _, _, version, answer in load.answers} == {
        ("1", 1.0), ("2", 2.0), ("3", 3.0),
    }  # fmt: skip


def test_a_client_asks_for_a_version_and_keeps_it_through_a_swap(site: Site) -> None:
    pinned = "/v1/models/number/versions/{}/predict"
    assert site.ask(pinned.format(1)).json()["predictions"] == [1.0]
    assert site.ask(pinned.format(3)).status == 404
    site.models("load", "number", "3")
    assert until(lambda: site.ask(pinned.format(3)).status == 200)
    site.models("use", "number", "2")
    for version in (1, 2, 3):
        answer = site.ask(pinned.format(version))
        assert answer.json()["predictions"] == [float(version)]
        assert answer.json()["model"] == {"name": "number", "version": str(version)}
    site.models("unload", "number", "3")
    assert until(lambda: site.ask(pinned.format(3)).status == 404)


def test_a_client_stays_with_its_version_through_a_canary(site: Site) -> None:
    site.models("canary", "number", "2", "--share", "0.5")

    def versions() -> list[str]:
        return [site.ask(client=n).json()["model"]["version"] for n in range(CLIENTS)]

    def same_again() -> bool:  # both workers have begun
        found = versions()
        return set(found) == {"1", "2"} and found == versions() == versions()

    assert until(same_again, 60)
    first = versions()
    assert [versions() for _ in range(3)] == [first] * 3


def test_a_version_that_ends_says_so_in_its_answers(site: Site) -> None:
    dates = ["--deprecated", "2026-01-01T00:00:00Z", "--sunset", "2030-01-01T00:00:00Z"]
    site.models("retire", "number", "1", *dates, "--link", "https://example.org/v2")
    assert until(lambda: site.ask().all("Sunset") != [])
    answer = site.ask()
    assert answer.all("Deprecation") == ["@1767225600"]
    assert answer.all("Sunset") == ["Tue, 01 Jan 2030 00:00:00 GMT"]
    link = '<https://example.org/v2>; rel="deprecation"; type="text/html"'
    assert answer.all("Link") == [link]


def test_a_model_that_is_sealed_into_a_running_server_answers_and_a_removed_one_does_not(
    site: Site, tmp_path: Path
) -> None:
    path = "/v1/models/late/predict"
    assert site.ask(path).status == 404
    file = tmp_path / "late.joblib"
    joblib.dump(DummyRegressor(strategy="constant", constant=5).fit([[0, 0]], [0]), file)
    site.models("seal", str(file), "--name", "late")
    assert until(lambda: site.ask(path).status == 200)
    site.models("remove", "late", "--all")
    assert until(lambda: site.ask(path).status == 404)
