"""What `secureml score` costs a row, beside `estimator.predict` and a script of pandas, in one run.

script/bench --score [--rows 1000000]
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

CHECKOUT = Path(__file__).resolve().parents[2]
COLUMNS = 30


def report(instance: Path, folder: Path, rows: int, secureml) -> list[dict]:
    """Print rows a second of wall time and of processor time, and the most memory, for each way."""
    found = []
    files = {"breast-cancer": demo_file(folder), "forest": forest(instance, folder, secureml)}
    source = table(folder / "rows.csv", rows)
    with ExitStack() as stack:
        cluster = stack.enter_context(dask_cluster(folder))
        ways = {"score --workers 1": ["--workers", "1"], "score --workers 2": ["--workers", "2"]}
        ways["score --workers 2 --threads"] = ["--workers", "2", "--threads"]
        if cluster:
            ways["score --cluster, 2 workers"] = ["--cluster", cluster]
        print(f"{rows} rows of {COLUMNS} numbers, {source.stat().st_size / 1e6:.0f} MB of CSV")
        print(f"{'model':<15}{'way':<34}{'rows/s':>10}{'rows/CPU s':>12}{'MiB':>7}{'output':>10}")
        for model, file in files.items():
            for line in measured(model, file, source, ways, instance):
                found.append({"model": model, **line})
                print(
                    f"{model:<15}{line['way']:<34}{rows / line['seconds']:>10.0f}"
                    f"{rows / line['cpu']:>12.0f}{line['mib']:>7.0f}{line['digest'][:8]:>10}"
                )
    return found


def measured(model, file, source, ways, instance):
    """Yield what each way takes; a killed and resumed run is one of them."""
    yield predicted(file, source)
    yield {
        "way": "pandas: read_csv, predict, to_csv",
        **timed(pandas_script(file, source), Path(f"{source}.out")),
    }
    for way, words in ways.items():
        out = source.with_name("out.csv")
        yield {"way": way, **timed(score(instance, model, source, out, words), out)}
    out = source.with_name("again.csv")
    command = score(instance, model, source, out, ["--workers", "2"])
    kill_at_half(command, out)
    yield {"way": "the second half, after kill -9", **timed(command, out)}


def score(instance, model, source, out, words):
    """Return the command line."""
    out.unlink(missing_ok=True)
    line = ["-m", "secureml.cli", "score", model, str(source), str(out), "--json"]
    return [sys.executable, *line, "--probabilities", "--instance", str(instance), *words]


def timed(command, out):
    """Run a command; return seconds, processor seconds of it and its children, and most memory."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return {
        "seconds": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "mib": usage.ru_maxrss / 1024,
        "digest": hashlib.sha256(out.read_bytes()).hexdigest(),
    }


def kill_at_half(command, out):
    """Begin a run, and kill it when half of its chunks are finished."""
    chunks = out.with_name(f".{out.name}.score") / "finished.jsonl"
    total = sum(1 for _ in out.with_name("rows.csv").open("rb")) // 10_000
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if chunks.exists() and chunks.read_bytes().count(b"\n") >= total // 2:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.05)


def predicted(file, source):
    """Return what `predict` and `predict_proba` take alone, on rows in memory, in one thread.

    In a process of its own: one that starts others hands its size on to what they are said to use.
    """
    code = (
        "import json, sys, time, joblib, numpy as np\n"
        "from threadpoolctl import threadpool_limits\n"
        "estimator = joblib.load(sys.argv[1])\n"
        "rows = np.loadtxt(sys.argv[2], delimiter=',', skiprows=1)\n"
        "with threadpool_limits(1):\n"
        "    begin, cpu = time.perf_counter(), time.process_time()\n"
        "    estimator.predict(rows), estimator.predict_proba(rows)\n"
        "    took = time.perf_counter() - begin, time.process_time() - cpu\n"
        "print(json.dumps({'seconds': took[0], 'cpu': took[1], 'mib': rows.nbytes / 2**20}))\n"
    )
    command = [sys.executable, "-c", code, str(file), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"way": "estimator.predict, predict_proba", "digest": "", **json.loads(done.stdout)}


def pandas_script(file, source):
    """Return the command of a script that people write: the whole table at once, no checks."""
    code = (
        "import sys, joblib, pandas as pd\n"
        "from threadpoolctl import threadpool_limits\n"
        "model, table = joblib.load(sys.argv[1]), pd.read_csv(sys.argv[2])\n"
        "with threadpool_limits(1):\n"
        "    rows = table.to_numpy()\n"
        "    out = pd.DataFrame(model.predict_proba(rows)).assign(prediction=model.predict(rows))\n"
        "out.to_csv(sys.argv[2] + '.out', index=False)\n"
    )
    return [sys.executable, "-c", code, str(file), str(source)]


def table(path, rows):
    """Write rows that are drawn from the demo's own."""
    data = load_breast_cancer()
    chosen = np.random.default_rng(0).integers(0, len(data.data), rows)
    lines = [",".join(map(repr, row)) for row in data.data.tolist()]
    with path.open("w") as file:
        file.write(",".join(data.feature_names) + "\n")
        file.writelines(f"{lines[at]}\n" for at in chosen)
    return path


def demo_file(folder):
    """Return the file of the very model that the instance's was sealed from."""
    from secureml.cli.demo import train

    return train(folder)[0]


def forest(instance, folder, secureml):
    """Seal a forest of a hundred trees, too."""
    data = load_breast_cancer()
    file = folder / "forest.joblib"
    joblib.dump(RandomForestClassifier(100, random_state=0).fit(data.data, data.target), file)
    rows = folder / "forest.csv"
    pairs = zip(data.data.tolist(), data.target.tolist(), strict=True)
    lines = [",".join(map(repr, (*row, answer))) for row, answer in pairs]
    rows.write_text("\n".join([",".join((*data.feature_names, "target")), *lines, ""]))
    secureml(instance, "models", "seal", str(file), "--name", "forest", "--data", str(rows),
             "--target", "target", "--use", "--no-assess")  # fmt: skip
    return file


@contextmanager
def dask_cluster(folder):
    """Run a scheduler and two workers on loopback; yield its address, "" without Dask."""
    try:
        import distributed as _  # noqa: F401
    except ImportError:
        yield ""
        return
    file, processes = folder / "scheduler.json", []
    common = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    common += ["--scheduler-file", str(file)]
    try:
        with (folder / "dask.log").open("wb") as log:
            for module, words in (
                ("dask_scheduler", ["--port", "0"]),
                *[("dask_worker", ["--no-nanny", "--nthreads", "1", "--local-directory",
                                   str(folder / f"worker{number}")]) for number in range(2)],
            ):  # fmt: skip
                command = [sys.executable, "-m", f"distributed.cli.{module}", *common, *words]
                processes.append(subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log))
                while not file.exists():
                    time.sleep(0.1)
        time.sleep(5)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)
