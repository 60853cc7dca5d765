"""Files scored by real processes, here and on a Dask cluster: killed at half, the same to the bit.

The cluster has a scheduler and two workers on loopback and speaks TLS with certificates on both
sides, started here and ended by process id.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import CHECKOUT, end
from live_serving import alive, descendants, until

from tests.made_certificates import CLIENT_AUTH, SERVER_AUTH, Authority
from tests.optional_packages import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live_serving import Instance

ROWS, CHUNK = 50_000, 1000
CHUNKS = ROWS // CHUNK


class Program:
    """A process with a log of its own."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", *words],
                cwd=folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, stdout=log, stderr=log,
            )  # fmt: skip

    def printed(self, words: str) -> bool:
        return until(lambda: words in self.log(), 60)

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        end(self.process.pid)
        self.process.wait()


class Cluster:
    """A scheduler and two workers that believe one authority alone."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        authority = Authority(time.time())
        (folder / "ca.pem").write_bytes(authority.own.pem)
        usages = (*CLIENT_AUTH, *SERVER_AUTH)
        self.pem = authority.sign("cluster", usage=usages).write(folder, "node")
        file = folder / "scheduler.json"
        words = ["--host", "127.0.0.1", "--protocol", "tls", "--dashboard-address", "127.0.0.1:0"]
        words += ["--scheduler-file", str(file)]
        self.scheduler = Program(folder, "scheduler", "distributed.cli.dask_scheduler",
                                 *words, "--port", "0", *self.files())  # fmt: skip
        stack.callback(self.scheduler.stop)
        self.workers = []
        assert until(file.exists, 60), self.scheduler.log()
        for number in range(2):
            place = folder / f"worker{number}"
            place.mkdir()
            worker = Program(
                folder, f"worker{number}", "distributed.cli.dask_worker", *words,
                "--no-nanny", "--nthreads", "1", "--local-directory", str(place), *self.files(),
            )  # fmt: skip
            stack.callback(worker.stop)
            self.workers.append(worker)
        for worker in self.workers:
            assert worker.printed("Registered to:"), worker.log()
        self.address = json.loads(file.read_text())["address"]

    def files(self, prefix: str = "--tls-", ca: str = "ca-file") -> list[str]:
        certificate, key = self.pem
        return [f"{prefix}{ca}", str(self.folder / "ca.pem"), f"{prefix}cert", str(certificate),
                f"{prefix}key", str(key)]  # fmt: skip

    def options(self) -> list[str]:
        return ["--cluster", self.address, *self.files("--cluster-", "ca")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need("distributed")
    with ExitStack() as stack:
        yield Cluster(tmp_path_factory.mktemp("cluster"), stack)


class Scoring:
    """An instance, a file of rows, and the output that an uninterrupted run makes of it."""

    def __init__(self, instance: Instance, folder: Path, table: Path) -> None:
        self._instance, self._folder = instance, folder
        self.source = folder / "in.csv"
        _multiply(table, self.source)
        done = self.start("expected.csv", "--workers", "2")
        assert done.wait(300) == 0
        self.expected = (folder / "expected.csv").read_bytes()

    def start(self, output: str, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{output}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "secureml.cli", "score", "breast-cancer",
                 str(self.source), str(self._folder / output), "--instance",
                 str(self._instance.folder), "--keep", "id", "--ignore", "target",
                 "--probabilities", "--chunk-rows", str(CHUNK), "--json", *words],
                cwd=self._folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
                stdout=log, stderr=log,
            )  # fmt: skip

    def run(self, output: str, *words: str) -> dict[str, Any]:
        """Run it to its end, and return what it printed."""
        assert self.start(output, *words).wait(300) == 0, self.log(output)
        log = self.log(output)
        found: dict[str, Any] = json.loads(log[log.rindex("{\n") :])
        return found

    def log(self, output: str) -> str:
        return (self._folder / f"{output}.log").read_text()

    def kill_at_half(self, output: str, *words: str) -> list[int]:
        """Begin a run, kill it when half of it is done; return its children of that moment."""
        started = self.start(output, *words)
        finished = self._folder / f".{output}.score/finished.jsonl"

        def half() -> bool:
            return finished.exists() and finished.read_bytes().count(b"\n") >= CHUNKS // 2

        assert until(lambda: half() or started.poll() is not None, 200), self.log(output)
        begun = descendants(started.pid)
        started.send_signal(signal.SIGKILL)
        assert started.wait() == -signal.SIGKILL, self.log(output)
        assert not (self._folder / output).exists()
        return begun

    def output(self, output: str) -> bytes:
        return (self._folder / output).read_bytes()


def _multiply(table: Path, target: Path) -> None:
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    with target.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *header])
        writer.writerows([f"r{at}", *rows[at % len(rows)]] for at in range(ROWS))


@pytest.fixture(scope="module")
def scoring(
    tmp_path_factory: pytest.TempPathFactory, prepared: Instance, demo_files: tuple[Path, Path]
) -> Scoring:
    folder = tmp_path_factory.mktemp("scoring")
    return Scoring(prepared.copy(folder / "i"), folder, demo_files[1])


def test_a_run_of_two_processes_that_is_killed_at_half_goes_on_to_the_same_output(
    scoring: Scoring,
) -> None:
    begun = scoring.kill_at_half("local.csv", "--workers", "2")
    # What it had started ends with it, though nobody told it to.
    assert begun
    assert until(lambda: not any(map(alive, begun)), 20)
    found = scoring.run("local.csv", "--workers", "2")

    assert scoring.output("local.csv") == scoring.expected
    assert ROWS // 2 <= found["resumed"] < ROWS
    assert found["answered"] == ROWS


def test_a_cluster_gives_the_same_output_to_the_bit(scoring: Scoring, cluster: Cluster) -> None:
    found = scoring.run("cluster.csv", *cluster.options())

    assert scoring.output("cluster.csv") == scoring.expected
    assert found["answered"] == ROWS


def test_a_run_on_a_cluster_that_is_killed_at_half_goes_on_to_the_same_output(
    scoring: Scoring, cluster: Cluster
) -> None:
    scoring.kill_at_half("again.csv", *cluster.options())
    found = scoring.run("again.csv", *cluster.options())

    assert scoring.output("again.csv") == scoring.expected
    assert ROWS // 2 <= found["resumed"] < ROWS


def test_what_a_cluster_has_begun_this_machine_may_finish(
    scoring: Scoring, cluster: Cluster
) -> None:
    scoring.kill_at_half("moved.csv", *cluster.options(), "--shared-models")
    scoring.run("moved.csv", "--workers", "1")

    assert scoring.output("moved.csv") == scoring.expected


def test_a_cluster_is_not_reached_without_its_certificates(
    scoring: Scoring, cluster: Cluster
) -> None:
    assert scoring.start("none.csv", "--cluster", cluster.address).wait(200) == 1
    assert "cannot be reached" in scoring.log("none.csv")
    assert "--cluster-ca" in scoring.log("none.csv")
