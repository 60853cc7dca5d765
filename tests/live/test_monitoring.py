"""A real Prometheus scrapes the live server while its workers are killed; all of the kit is run.

What it counted is held against what the clients counted, and every expression of the
dashboard is put to it.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import queue
import re
import signal
import subprocess
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_monitoring import KIT, Prometheus, alertmanager, prometheus
from live_servers import free_port
from live_serving import PREDICT, Instance, Served, until
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.live

APT = "apt-get install --no-install-recommends "
ROWS = [row.tolist() for row in load_breast_cancer().data[:3]]
RULE = "/v1/models/<model>/predict"
SENDERS, EACH, KILLS = 3, 400, 4
COUNTERS = '{__name__=~"secureml_.+_(total|bucket|count|sum)"}'


class Traffic:
    """What callers asked and what they got: answers by status, and requests without one."""

    def __init__(self, served: Served, keys: list[str]) -> None:
        self._served, self._keys = served, keys
        self.answered: Counter[int] = Counter()
        self.lost, self.rows = 0, 0
        self._lock = threading.Lock()

    def send(self, number: int) -> None:
        for turn in range(EACH):
            # Good questions of two clients, a stranger's, and one with a letter for a number.
            body: Any = {"instances": ROWS if turn % 7 else [["x"] * 30]}
            self._one(self._keys[(turn + number) % len(self._keys)], body)
        for path in ("/nowhere", "/v1/models", "/v1/models/other"):
            self._served.ask("GET", path, self._keys[0])

    def _one(self, key: str, body: Any) -> None:
        try:
            status = self._served.ask("POST", PREDICT, key, body).status
        except (OSError, http.client.HTTPException):
            status = 502
        with self._lock:
            if status == 502:
                self.lost += 1
            else:
                self.answered[status] += 1
                self.rows += len(ROWS) if status == 200 else 0


class Watched:
    """The live server after its traffic, the Prometheus that watched, and both counts."""

    def __init__(
        self, served: Served, watch: Prometheus, traffic: Traffic, key: str, alone: float
    ) -> None:
        self.served, self.watch, self.traffic, self.key = served, watch, traffic, key
        self.alone = alone


def drive(served: Served, traffic: Traffic) -> None:
    """Send all the traffic, and kill a worker after each fifth part of it, by turns harder."""
    threads = [threading.Thread(target=traffic.send, args=(n,)) for n in range(SENDERS)]
    for thread in threads:
        thread.start()
    for turn in range(1, KILLS + 1):
        part = SENDERS * EACH * turn // (KILLS + 1)
        assert until(lambda: sum(traffic.answered.values()) + traffic.lost >= part, 120)
        victim = served.workers()[0]
        os.kill(victim, signal.SIGKILL if turn % 2 else signal.SIGTERM)
        assert until(lambda: victim not in served.workers() and len(served.workers()) == 2, 30)
    for thread in threads:
        thread.join()


def seen_with_one_worker(served: Served, watch: Prometheus) -> float:
    """Have Gunicorn serve with one worker less, and return how many Prometheus then sees."""
    master = next(
        int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        for worker in served.workers()
    )
    os.kill(master, signal.SIGTTOU)
    assert until(lambda: len(served.workers()) == 1, 30)
    until(lambda: watch.value("secureml_workers") == 1, 10)
    seen = watch.value("secureml_workers")
    os.kill(master, signal.SIGTTIN)
    assert until(lambda: len(served.workers()) == 2, 30)
    return seen


@pytest.fixture(scope="module")
def watched(
    prepared: Instance, tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]
) -> Iterator[Watched]:
    """The server with two workers, watched through kills."""
    tool("nginx", "apt-get install nginx-light")
    program = tool("prometheus", f"{APT}prometheus")
    folder = tmp_path_factory.mktemp("watched")
    instance = prepared.copy(folder / "i")
    key = instance.key("prometheus", scopes=["metrics"], lifetime=90 * 86400)
    keys = [instance.key("acme"), instance.key("shop"), ""]
    kit = folder / "kit"
    kit.mkdir()
    (kit / "secureml.key").write_text(key)
    served = Served(instance.folder)
    watch = None
    try:
        served.ready()
        authority = instance.folder / "tls" / "ca.crt"
        watch = prometheus(program, kit, f"localhost:{served.port}", authority)
        # The first samples must be there before the traffic: what they hold is no increase.
        assert until(lambda: watch.value('up{job="secureml"}') == 1, 30)
        traffic = Traffic(served, keys)
        drive(served, traffic)
        alone = seen_with_one_worker(served, watch)
        yield Watched(served, watch, traffic, key, alone)
    finally:
        if watch is not None:
            watch.stop()
        served.stop()


def test_its_totals_are_the_clients(watched: Watched) -> None:
    """Each answer was counted once; a request that a killed worker took along once at most."""
    traffic, watch = watched.traffic, watched.watch
    assert traffic.answered.keys() == {200, 401, 422}
    for status, answered in traffic.answered.items():
        total = f'sum(secureml_requests_total{{route="{RULE}", status="{status}"}})'
        assert until(lambda total=total, least=answered: watch.value(total) >= least, 15)
        assert answered <= watch.value(total) <= answered + traffic.lost
    everything = watch.value(f'sum(secureml_requests_total{{route="{RULE}"}})')
    assert everything <= sum(traffic.answered.values()) + traffic.lost
    assert traffic.lost < SENDERS * EACH / 10
    rows = watch.value("sum(secureml_rows_total)")
    assert traffic.rows <= rows <= traffic.rows + traffic.lost * len(ROWS)
    timed = watch.value(f'sum(secureml_request_duration_seconds_count{{route="{RULE}"}})')
    assert timed == everything


def test_no_counter_ever_went_down(watched: Watched) -> None:
    """Prometheus itself says how often each did."""
    series = watched.watch.ask(COUNTERS)
    assert len(series) > 100
    names = {one["metric"]["__name__"] for one in series}
    assert {name: watched.watch.ask(f"resets({name}[1h]) > 0") for name in names} == {
        name: [] for name in names
    }


def test_workers_that_ended_are_counted_and_no_longer_among_those_that_serve(
    watched: Watched,
) -> None:
    watch = watched.watch
    assert until(lambda: watch.value("secureml_worker_starts_total") == 3 + KILLS, 15)
    assert watched.alone == 1
    assert until(lambda: watch.value("secureml_workers") == 2, 15)
    assert watch.value("secureml_threads") == 8


def test_there_are_as_many_files_as_workers_however_often_they_end(watched: Watched) -> None:
    folder = watched.served.instance / "run" / "metrics"
    # What only the living say of themselves is taken away with a worker, and is soon there again.
    assert until(lambda: len(list(folder.glob("*.db"))) == 6, 15), sorted(folder.iterdir())
    assert len(list(folder.glob("counter_*.db"))) == 2


def expressions() -> list[Any]:
    """Return every expression of the dashboard with the title of its panel."""
    board = json.loads((KIT / "dashboard.json").read_text("utf-8"))
    return [
        pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_of_the_dashboard_returns_data(watched: Watched, expression: str) -> None:
    """As Grafana would send it, with its variables filled in."""
    filled = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
    assert "$" not in filled
    assert until(lambda: watched.watch.has_data(filled), 20), filled


def test_every_rule_is_evaluated_without_fault(watched: Watched) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = json.loads(watched.watch.get("/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    assert until(lambda: all(rule["health"] == "ok" for rule in rules()), 15), rules()
    assert len(rules()) == len(re.findall("- alert:", (KIT / "secureml.rules.yml").read_text()))


@pytest.mark.parametrize(
    "accept", ["", "application/openmetrics-text; version=1.0.0"], ids=["text", "openmetrics"]
)
def test_promtool_finds_nothing_to_say_about_the_metrics(
    watched: Watched, tool: Callable[[str, str], str], accept: str
) -> None:
    promtool = tool("promtool", f"{APT}prometheus")
    answer = watched.served.ask("GET", "/metrics", watched.key, Accept=accept)
    assert answer.status == 200
    if accept:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families

        assert len(list(text_string_to_metric_families(answer.body.decode()))) > 20
        return
    done = subprocess.run(
        [promtool, "check", "metrics"], input=answer.body, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_stranger_and_a_client_without_the_scope_read_nothing(watched: Watched) -> None:
    other = watched.traffic._keys[0]
    assert watched.served.ask("GET", "/metrics").status == 401
    assert watched.served.ask("GET", "/metrics", other).status == 403


def test_a_socket_of_its_own_answers_while_one_worker_lives(
    prepared: Instance, tmp_path: Path, tool: Callable[[str, str], str]
) -> None:
    """Whichever worker that is; and the public address no longer has the route."""
    tool("nginx", "apt-get install nginx-light")
    instance, port = prepared.copy(tmp_path / "i"), free_port()
    with (instance.folder / "secureml.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[plugins.metrics]\nlisten = "127.0.0.1:{port}"\n')
    key = instance.key("watcher", scopes=["metrics"])
    served = Served(instance.folder)
    try:
        served.ready()
        assert served.ask("GET", "/metrics", key).status == 404
        assert served.ask("GET", "/healthz").status == 200
        scrapes = [scrape(port) for _ in range(8)]
        assert all('route="/healthz"' in text for text in scrapes)
        assert all("\nsecureml_workers 2.0\n" in text for text in scrapes)
        victim = served.workers()[0]
        os.kill(victim, signal.SIGKILL)
        assert until(lambda: victim not in served.workers() and len(served.workers()) == 2, 30)
        assert until(lambda: "\nsecureml_worker_starts_total 3.0\n" in scrape(port), 15)
    finally:
        served.stop()


def scrape(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection):
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


# -- the kit alone --------------------------------------------------------------------------------


def run(*words: str, folder: Path = KIT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_alerts_pass_their_unit_tests(tool: Callable[[str, str], str]) -> None:
    promtool = tool("promtool", f"{APT}prometheus")
    done = run(promtool, "test", "rules", "secureml.rules.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test_in_which_it_fires() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (KIT / "secureml.rules.yml").read_text()))
    tested = set(re.findall(r"SecureML\w+", (KIT / "secureml.rules.test.yml").read_text()))
    assert alerts == tested


def test_the_configuration_of_prometheus_is_valid(
    tmp_path: Path, tool: Callable[[str, str], str]
) -> None:
    promtool = tool("promtool", f"{APT}prometheus")
    for name in ("prometheus.yml", "secureml.rules.yml"):
        (tmp_path / name).write_bytes((KIT / name).read_bytes())
    for name in ("secureml.key", "ca.crt"):
        (tmp_path / name).write_text("here")
    done = run(promtool, "check", "config", "prometheus.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("severity", "receivers"),
    [("critical", "pager,operators"), ("warning", "operators"), ("info", "operators")],
)
def test_alertmanager_tells_whom_the_page_says(
    tool: Callable[[str, str], str], severity: str, receivers: str
) -> None:
    amtool = tool("amtool", f"{APT}prometheus-alertmanager")
    assert run(amtool, "check-config", "alertmanager.yml").returncode == 0
    route = ["config", "routes", "test", "--config.file=alertmanager.yml"]
    assert run(amtool, *route, f"severity={severity}").stdout.split() == [receivers]


class Pager(http.server.BaseHTTPRequestHandler):
    """Ten lines of a service that wakes people."""

    called: queue.Queue[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.called.put(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        del words


@pytest.fixture
def pager() -> Iterator[tuple[int, queue.Queue[dict[str, Any]]]]:
    """A pager on a port, and what it was called with."""
    called: queue.Queue[dict[str, Any]] = queue.Queue()
    handler = type("Ours", (Pager,), {"called": called})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], called
        server.shutdown()
        thread.join()


def test_a_server_that_is_gone_wakes_somebody(
    tmp_path: Path,
    tool: Callable[[str, str], str],
    pager: tuple[int, queue.Queue[dict[str, Any]]],
    demo_instance: Path,
) -> None:
    """From the scrape that fails, through rule and route, to the pager: every part is real."""
    programs = [
        tool("prometheus", f"{APT}prometheus"),
        tool("prometheus-alertmanager", f"{APT}prometheus-alertmanager"),
    ]
    port, called = pager
    (tmp_path / "secureml.key").write_text("nobody asks")
    routes = alertmanager(programs[1], tmp_path, port)
    try:
        watch = prometheus(
            programs[0], tmp_path, f"localhost:{free_port()}",
            demo_instance / "tls" / "ca.crt", routes.port, **{"for: 1m": "for: 1s"},
        )  # fmt: skip
        try:
            message = called.get(timeout=60)
        finally:
            watch.stop()
    finally:
        routes.stop()
    assert message["receiver"] == "pager"
    (alert,) = [a for a in message["alerts"] if a["labels"]["alertname"] == "SecureMLDown"]
    assert alert["status"] == "firing"
    assert "does not answer a scrape" in alert["annotations"]["summary"]
