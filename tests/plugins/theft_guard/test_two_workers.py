"""An attacker spread over two processes is found as if there were one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
WORKER = """
import json, sys
from pathlib import Path
import numpy as np
sys.path[:0] = sys.argv[3:]
from secureml.models.serving.registry import Registry
from service import Service
from subjects import Subject
folder = Path(sys.argv[1])
handle = Registry(folder / "models").prove("cancer-logistic", "1")
none = np.zeros((1, 30))
service = Service(Subject("cancer-logistic", handle, none, none, folder), Path(sys.argv[2]))
print(json.dumps("up"), flush=True)
for line in sys.stdin:
    _, _, events = service.ask(np.array(json.loads(line)))
    print(json.dumps([dict(e.facts) for e in events]), flush=True)
"""


def test_an_attacker_who_alternates_between_workers_is_found_as_soon_as_with_one(
    target, serve, tmp_path, nonsense
):
    rows = [nonsense() for _ in range(30)]
    alone = serve()
    first = next(n for n, row in enumerate(rows) if alone.ask(row)[2])
    paths = [str(CHECKOUT / "tests" / "theft"), str(CHECKOUT)]
    words = [sys.executable, "-c", WORKER, str(target.folder), str(tmp_path / "both"), *paths]
    workers = [
        subprocess.Popen(
            words, cwd=CHECKOUT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert json.loads(worker.stdout.readline()) == "up"
    events = []
    for number, row in enumerate(rows[: first + 1]):
        worker = workers[number % 2]
        worker.stdin.write(json.dumps(row.tolist()) + "\n")
        worker.stdin.flush()
        events.append(json.loads(worker.stdout.readline()))
    for worker in workers:
        worker.communicate(timeout=30)

    assert first >= 2
    assert events[-1][0]["subject"] == "client:mallory"
    assert not any(events[:-1])
