"""Measure the whole chain against the bare app, round by round, and say where the time goes."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import guarding
import identity
import mixed
import scoring
import stages

from secureml.cli.demo import train

CHECKOUT = Path(__file__).resolve().parents[2]
CONNECTIONS = (1, 16, 64)


def free_ports() -> tuple[int, int]:
    """Return two ports nobody uses now; both are held until both are known."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@contextmanager
def running(command, log, **environment):
    """Run a server in a group of its own and end it."""
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=os.environ | environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(port: int, log: Path) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}:\n{log.read_text()[-2000:]}")


def script_for(folder: Path, name: str, body: str, headers: dict[str, str]) -> Path:
    """Write what wrk shall send."""
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(body)}"]
    lines += [f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in headers.items()]
    path = folder / f"{name}.lua"
    path.write_text("\n".join(lines))
    return path


def load(url: str, script: Path, connections: int, seconds: int) -> dict[str, float]:
    """Run wrk once and read what it says."""
    return read(
        subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script, url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def read(text: str) -> dict[str, float]:
    """Return wrk's requests a second, p50 and p99 in milliseconds, and errors."""
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return {
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        "p50": milliseconds(re.search(r"(?m)^\s+50%\s+(\S+)", text)[1]),
        "p99": milliseconds(re.search(r"(?m)^\s+99%\s+(\S+)", text)[1]),
        "errors": int(bad[1]) if bad else 0,
    }


def milliseconds(text: str) -> float:
    """Read wrk's 12.3us, 4.5ms, 1.2s."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def secureml(instance: Path, *words: str) -> dict:
    """Run one of the operator's commands."""
    out = subprocess.run(
        [sys.executable, "-m", "secureml.cli", *words, "--json", "--instance", instance],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(out.stdout)


def prepare(folder: Path) -> tuple[Path, str]:
    """Make an instance with the demo model, a client and a key."""
    instance = folder / "instance"
    secureml(instance, "init")
    # One client asks as fast as it can: its limit is counted like any other, and never reached.
    with (instance / "secureml.toml").open("a") as settings:
        settings.write(
            '\n[[plugins.rate_limit.limits]]\nfor = "client"\nallow = "1000000000 per minute"\n'
        )
    secureml(instance, "models", "demo")
    secureml(instance, "clients", "add", "bench")
    return instance, secureml(instance, "api-keys", "issue", "bench")["key"]


def measure(targets, rounds: int, seconds: int) -> dict:
    """Take each target at each level in turn, in another order each round."""
    found = {name: {c: [] for c in CONNECTIONS} for name in targets}
    for number in range(rounds):
        order = list(targets) if number % 2 == 0 else list(reversed(targets))
        for connections in CONNECTIONS:
            for name in order:
                url, script = targets[name]
                found[name][connections].append(load(url, script, connections, seconds))
    return found


def report(found: dict) -> list[dict]:
    """Print medians and ratios to the bare app."""
    rows = []
    print(f"{'server':<34}{'c':>4}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}{'ratio':>8}")
    for connections in CONNECTIONS:
        base = [run["rps"] for run in found["bare Flask + Gunicorn"][connections]]
        for name, levels in found.items():
            runs = levels[connections]
            middle = {
                key: statistics.median(run[key] for run in runs)
                for key in ("rps", "p50", "p99", "errors")
            }
            ratio = statistics.median(run["rps"] / b for run, b in zip(runs, base, strict=True))
            rows.append({"server": name, "connections": connections, **middle, "ratio": ratio})
            print(
                f"{name:<34}{connections:>4}{middle['rps']:>9.0f}{middle['p50']:>9.2f}"
                f"{middle['p99']:>9.2f}{middle['errors']:>8.0f}{ratio:>8.2f}"
            )
    return rows


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((folder / "servers.log").open("wb"))
        instance, key = prepare(folder)
        if options.score:
            keep(options.json, {"score": scoring.report(instance, folder, options.rows, secureml)})
            return
        row = stages.example_row(instance)
        if options.mixed:
            found = {"mixed": mixed.report(instance, key, row, options, sys.modules[__name__])}
            keep(options.json, found)
            return
        body = json.dumps({"instances": [row]})
        model, _ = train(folder)  # the file of the very model that ours was sealed from
        ours, bare = free_ports()
        stack.enter_context(
            running(
                [
                    sys.executable,
                    "-m",
                    "secureml.cli",
                    "serve",
                    "--port",
                    str(ours),
                    "--instance",
                    str(instance),
                ],
                log,
            )
        )
        stack.enter_context(
            running(
                [
                    sys.executable,
                    "-m",
                    "gunicorn",
                    "--chdir",
                    "tests/bench",
                    "-k",
                    "gthread",
                    "-w",
                    "2",
                    "--threads",
                    "4",
                    "-b",
                    f"127.0.0.1:{bare}",
                    "--no-control-socket",
                    "bare:app",
                ],
                log,
                BARE_MODEL=str(model),
                OMP_NUM_THREADS="1",
            )
        )
        wait_for(ours, folder / "servers.log")
        wait_for(bare, folder / "servers.log")
        json_type = {"Content-Type": "application/json"}
        targets = {
            "bare Flask + Gunicorn": (
                f"http://127.0.0.1:{bare}/predict",
                script_for(folder, "bare", body, json_type),
            ),
            "SecureML, Nginx TLS, everything on": (
                f"https://127.0.0.1:{ours}/v1/models/breast-cancer/predict",
                script_for(folder, "ours", body, json_type | {"X-API-Key": key}),
            ),
        }
        warm = urllib.request.Request(targets["bare Flask + Gunicorn"][0], body.encode(), json_type)
        urllib.request.urlopen(warm).read()
        measure(targets, 1, 1)
        rows = report(measure(targets, options.rounds, options.seconds))
        print()
        found = {"load": rows, "stages": stages.report(instance, key), "guard": guarding.report()}
        found["identity"] = identity.report()
    keep(options.json, found)


def keep(file: Path | None, found: dict) -> None:
    """Write what was measured to the file that was named, if one was."""
    if file:
        file.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
