"""A reload makes no request fail or wait for a start; one that cannot be done changes nothing.

The commands are those of the systemd unit, read from it (live_unit.py).
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest
from live_serving import PREDICT, alive, command, until
from live_unit import Unit, lines
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Servers
    from live_servers import Answer, Edge
    from live_serving import Instance

pytestmark = pytest.mark.live

ROW = load_breast_cancer().data[0].tolist()
METRICS = "run/metrics"


class Site(NamedTuple):
    """Nginx, the service behind it, and a key."""

    edge: Edge
    unit: Unit
    key: str

    def ask(self, rows: int = 1) -> Answer:
        body = json.dumps({"instances": [ROW] * rows}).encode()
        headers = [("X-API-Key", self.key), ("Content-Type", "application/json")]
        return self.edge.ask("POST", PREDICT, headers, body, patience=60)

    @property
    def settings(self) -> Path:
        return self.unit.instance / "secureml.toml"


@pytest.fixture
def site(prepared: Instance, tmp_path: Path, servers: Servers) -> Iterator[Site]:
    own = prepared.copy(tmp_path / "i")
    unit = Unit(own.folder)
    token = (own.folder / "keys/edge-token").read_text("utf-8").strip()
    edge = servers.edge(unit.path, sites={"edge_token": f'set $edge_token "{token}";'})
    settings = own.folder / "secureml.toml"
    text = settings.read_text("utf-8")
    if '"metrics"' not in text:
        text = text.replace('"transport",', '"transport", "metrics",')
    settings.write_text(text, "utf-8")
    try:
        unit.start()
        yield Site(edge, unit, own.key("steady"))
    finally:
        unit.stop()


class Load:
    """Twenty requests a second, whether or not those before have been answered."""

    def __init__(self, site: Site) -> None:
        self._site, self._over = site, threading.Event()
        self._pool = ThreadPoolExecutor(600)
        self._asked: list[Future[tuple[int, float, float]]] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.05):
            self._asked.append(self._pool.submit(self._ask))

    def _ask(self) -> tuple[int, float, float]:
        begin = time.monotonic()
        try:
            status = self._site.ask().status
        except OSError:
            status = 0
        return status, begin, time.monotonic()

    def __enter__(self) -> Load:
        self._thread.start()
        assert until(lambda: self.answered() >= 5)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._pool.shutdown()

    def answered(self) -> int:
        """Return how many have their answer."""
        return sum(asked.done() for asked in list(self._asked))

    def goes_on(self) -> bool:
        """Tell whether more requests are answered than until now, or come to be."""
        before = self.answered()
        return until(lambda: self.answered() >= before + 5, 60)

    def report(self, name: str) -> None:
        """Hold the site to it that every request was answered; print how long the worst took."""
        found = [asked.result() for asked in self._asked]
        statuses = {status for status, _, _ in found}
        waits = sorted(end - begin for _, begin, end in found)
        print(
            f"{name}: {len(found)} requests at 20/s, statuses {statuses}, median "
            f"{waits[len(waits) // 2] * 1000:.0f} ms, longest wait {waits[-1]:.2f} s"
        )
        assert statuses == {200}


def test_a_reload_lets_no_request_fail_or_wait_for_a_start(site: Site) -> None:
    """And a second one as well: the successor can be succeeded."""
    first, places = site.unit.main, set[str]()
    with Load(site) as load:
        for name in ("first", "second"):
            before, main = load.answered(), site.unit.main
            begin = time.monotonic()
            done = site.unit.reload()
            assert [step.returncode for step in done] == [0, 0], done
            during = load.answered() - before
            print(f"{name} reload: {time.monotonic() - begin:.1f} s, {during} answers meanwhile")
            assert during >= 5  # while all was loaded anew, the old ones answered
            assert not alive(main)
            assert until(lambda: len(site.unit.workers()) == 2)
            places = {path.name for path in (site.unit.instance / METRICS).iterdir()}
        assert load.goes_on()
    load.report("reload")
    assert site.unit.main != first
    # Counters of two generations lie there, however many there have been.
    assert {name.removesuffix(".db").rsplit("_", 1)[-1].split("-")[0] for name in places} <= {
        "a", "b",
    }  # fmt: skip


def test_a_reload_brings_new_settings(site: Site) -> None:
    assert site.ask(rows=2).status == 200
    site.settings.write_text(
        site.settings.read_text("utf-8") + "\n[plugins.input_rules]\nmax_rows = 1\n", "utf-8"
    )
    assert site.ask(rows=2).status == 200
    assert [step.returncode for step in site.unit.reload()] == [0, 0]
    assert site.ask(rows=2).status == 422
    assert site.ask().status == 200


def test_a_reload_with_a_bad_setting_changes_nothing_and_the_next_one_works(site: Site) -> None:
    good, main = site.settings.read_text("utf-8"), site.unit.main
    site.settings.write_text(good + "\n[plugins.api_keys]\nheadr = 'X'\n", "utf-8")
    (checked,) = site.unit.reload()
    assert checked.returncode == 2
    assert "[plugins.api_keys] headr" in checked.stderr
    # What the check does not see, the new server does: it ends, and the old one serves on.
    replaced = site.unit.run(lines("secureml.service", "ExecReload")[1])
    assert replaced.returncode == 1
    assert replaced.stderr.startswith("reload: the new server ended during its start")
    assert replaced.stderr.count("\n") == 1
    assert "[plugins.api_keys] headr" in site.unit.log.read_text("utf-8")
    assert alive(main)
    assert site.ask().status == 200
    site.settings.write_text(good, "utf-8")
    assert [step.returncode for step in site.unit.reload()] == [0, 0]
    assert not alive(main)
    assert site.ask().status == 200


def test_a_restart_lets_requests_wait_in_the_socket_and_none_fail(site: Site) -> None:
    main = site.unit.main
    with Load(site) as load:
        site.unit.restart()
        assert site.unit.main != main
        assert load.goes_on()
    load.report("restart")


def test_the_command_and_the_hangup_signal_bring_new_settings_as_well(site: Site) -> None:
    text = site.settings.read_text("utf-8")
    for number, reload in enumerate((site.unit.reload_by_command, site.unit.hang_up), 1):
        rows = f"\n[plugins.input_rules]\nmax_rows = {number}\n"
        site.settings.write_text(text + rows, "utf-8")
        reload()
        assert site.ask(rows=number).status == 200
        assert site.ask(rows=number + 1).status == 422


def test_the_command_with_a_bad_setting_changes_nothing_and_says_why(site: Site) -> None:
    main = site.unit.main
    site.settings.write_text(site.settings.read_text("utf-8") + "\n[plugins.x]\ny = 1\n", "utf-8")
    done = command(site.unit.instance, "reload")
    assert done.returncode == 2
    assert "[plugins.x]" in done.stderr
    assert alive(main)
    assert site.ask().status == 200


def test_who_is_no_master_is_not_replaced(site: Site) -> None:
    done = site.unit.run(
        lines("secureml.service", "ExecReload")[1].replace("$MAINPID", "999999999")
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no process 999999999; fix: " in done.stderr
