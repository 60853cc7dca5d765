"""Single rows alone and beside large batches: our worker and Gunicorn's own, in one run.

Both serve the same instance's copy under the same configuration, two workers each, on a unix
socket behind an Nginx of their own; they differ in the class of the worker alone. What counts is
what one client's single rows have to wait while another sends batches of a thousand.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from secureml.cli import nginx_files
from secureml.core import build_core
from secureml.pipeline import proxy

CHECKOUT = Path(__file__).resolve().parents[2]
WORKERS = {
    "ours": "secureml.workers.inline_thread.InlineThreadWorker",
    "plain gthread": "gthread",
}
SINGLES, BATCHES, ROWS = 8, 4, 1000
LOADS = ("single rows alone", "single rows beside batches")


@contextmanager
def site(instance: Path, worker: str, port: int, log, running):
    """Run Gunicorn with a class of worker, and Nginx in front of it."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    core = build_core(instance)
    needs = proxy.required(core.plugins)
    command = nginx_files.command(nginx, core.settings, needs, CHECKOUT, "127.0.0.1", port)
    core.close()
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"]
    gunicorn += ["--worker-class", worker]
    with running(gunicorn, log, SECUREML_INSTANCE=str(instance)):
        deadline = time.monotonic() + 60
        while not (instance / "run/gunicorn.sock").exists():
            if time.monotonic() > deadline:
                raise SystemExit(f"{worker} did not start")
            time.sleep(0.1)
        with running(command, log, SECUREML_INSTANCE=str(instance)):
            yield


def start(url: str, script: Path, connections: int, seconds: int) -> subprocess.Popen:
    """Start wrk."""
    words: list[str | Path] = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        script,
        url,
    ]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def measure(url: str, scripts: dict[str, Path], load: str, seconds: int, read) -> dict:
    """Return what single rows had, beside batches or not, and how many batches were answered."""
    beside = None
    if load == LOADS[1]:
        beside = start(url, scripts["batch"], BATCHES, seconds + 2)
        # The worker has noticed them before the single rows are timed.
        read(start(url, scripts["single"], SINGLES, 1).communicate()[0])
    found = read(start(url, scripts["single"], SINGLES, seconds).communicate()[0])
    found["batches"] = 0.0
    if beside is not None:
        batches = read(beside.communicate()[0])
        found["batches"] = batches["rps"]
        found["errors"] += batches["errors"]
    return found


def report(instance: Path, key: str, row: list, options, bench) -> list[dict]:
    """Measure both in turn, in another order each round; print and return the medians.

    ``bench`` is the module run.py, which knows how to start servers and to read wrk.
    """
    folder, log = instance.parent, (instance.parent / "servers.log").open("ab")
    headers = {"Content-Type": "application/json", "X-API-Key": key}
    scripts = {
        name: bench.script_for(folder, name, json.dumps({"instances": [row] * count}), headers)
        for name, count in (("single", 1), ("batch", ROWS))
    }
    found = {name: {load: [] for load in LOADS} for name in WORKERS}
    with ExitStack() as sites:
        urls = {}
        for name, worker in WORKERS.items():
            own, port = folder / name.split()[0], bench.free_ports()[0]
            shutil.copytree(instance, own)
            sites.enter_context(site(own, worker, port, log, bench.running))
            bench.wait_for(port, folder / "servers.log")
            urls[name] = f"https://127.0.0.1:{port}/v1/models/breast-cancer/predict"
        for number in range(options.rounds):
            for load in LOADS:
                for name in list(WORKERS) if number % 2 == 0 else list(reversed(WORKERS)):
                    # A batch is held against our worker for some seconds: let it forget.
                    bench.read(start(urls[name], scripts["single"], SINGLES, 6).communicate()[0])
                    run = measure(urls[name], scripts, load, options.seconds, bench.read)
                    found[name][load].append(run)
    return table(found)


def table(found: dict) -> list[dict]:
    """Print the medians of all rounds."""
    rows = []
    print(
        f"{SINGLES} connections of single rows, {BATCHES} of {ROWS} rows; 2 workers of 4 threads\n"
        f"{'load':<28}{'worker':<16}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'batches/s':>11}{'errors':>8}"
    )
    for load in LOADS:
        for name in WORKERS:
            keys = ("rps", "p50", "p99", "batches", "errors")
            middle = {k: statistics.median(run[k] for run in found[name][load]) for k in keys}
            rows.append({"load": load, "worker": name, **middle})
            print(
                f"{load:<28}{name:<16}{middle['rps']:>8.0f}{middle['p50']:>9.2f}"
                f"{middle['p99']:>9.2f}{middle['batches']:>11.1f}{middle['errors']:>8.0f}"
            )
    return rows
