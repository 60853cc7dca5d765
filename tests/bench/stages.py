"""Where the time of one prediction goes, in process: each step of the pipeline and the rest."""

from __future__ import annotations

import gzip
import json
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path

from plugins.input_rules.validation import InputValidator, ValidationPolicy
from secureml.app import create_app
from secureml.models.data_form import reader
from secureml.models.serving.registry import Registry
from secureml.pipeline.body import Limits, read_json
from secureml.pipeline.content_encoding import unpack
from secureml.settings import read

ROUNDS = 2000


def example_row(instance: Path) -> list[object]:
    """Return a real row of the demo model."""
    return list(Registry(read(instance).models_folder).card("breast-cancer").golden.rows[0])


def timed(call, times: int = ROUNDS) -> float:
    """Return the median microseconds of a call."""
    found = []
    for _ in range(times):
        begin = time.perf_counter_ns()
        call()
        found.append(time.perf_counter_ns() - begin)
    return statistics.median(found) / 1000


def environ_for(instance: Path, key: str, rows: list) -> tuple[dict, bytes]:
    """Return the WSGI request Nginx would have passed on."""
    token = (instance / "keys" / "edge-token").read_text().strip()
    body = json.dumps({"instances": rows}).encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/models/breast-cancer/predict",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "",
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_API_KEY": key,
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_SECUREML_EDGE": token,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.errors": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }, body


def report(instance: Path, key: str) -> list[dict]:
    """Print microseconds for 1 and 100 rows: the whole WSGI call, each step, and the model."""
    import io

    # Counters as a Gunicorn worker keeps them: in files, which costs more than in memory. The
    # library reads the name once, so before the app imports it.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(instance / "run" / "metrics-bench")
    app = create_app(instance)
    leave = app.pipeline.leave  # type: ignore[attr-defined]
    steps: dict[tuple, list[int]] = defaultdict(list)

    def spy(response):
        from flask import g

        answer = leave(response)
        for phase, plugin, nanoseconds in g.exchange.timings:
            steps[(rows, phase.value, plugin)].append(nanoseconds)
        return answer

    app.after_request_funcs[None] = [spy]
    model = app.extensions["secureml"].models.get("breast-cancer")
    row = example_row(instance)
    found = []
    print(f"{'microseconds in process, median':<44}{'1 row':>10}{'100 rows':>10}")
    whole = {}
    for rows in (1, 100):
        environ, body = environ_for(instance, key, [row] * rows)

        def call():
            request = environ | {"wsgi.input": io.BytesIO(body)}
            answer = app(request, lambda status, headers: statuses.append(status))  # type: ignore[arg-type,return-value,func-returns-value]
            b"".join(answer)

        statuses: list[str] = []
        whole[rows] = timed(call, ROUNDS if rows == 1 else ROUNDS // 4)
        if set(statuses) != {"200 OK"}:
            raise SystemExit(f"the measured requests failed: {set(statuses)}")
    lines = {"the whole request, in WSGI": whole}
    for rows in (1, 100):
        read_rows = model.read([row] * rows)
        form = next((instance / "models" / "breast-cancer").glob("*/model.data")).read_bytes()
        estimator = reader.read(form, allowed=reader.names(form))
        _, text = environ_for(instance, key, [row] * rows)
        packed, validator = gzip.compress(text), InputValidator(model.card, ValidationPolicy())
        for name, call in (
            ("payload: read JSON strictly", lambda: read_json(text, Limits())),
            ("payload: unpack gzip", lambda: unpack(packed, "gzip", 1024 * 1024, 100)),
            (
                "rules: ranges and rules of the card",
                lambda: validator.validate(read_rows, [row] * rows),
            ),
            ("model: read rows", lambda: model.read([row] * rows)),
            ("model: predict, through the handle", lambda: model.predict(read_rows)),
            ("model: estimator.predict alone", lambda: estimator.predict(read_rows)),
        ):
            lines.setdefault(name, {})[rows] = timed(call, ROUNDS // 4)
    for (rows, phase, plugin), times in steps.items():
        lines.setdefault(f"{phase}: {plugin}", {})[rows] = statistics.median(times) / 1000
    for name, values in lines.items():
        print(f"{name:<44}{values[1]:>10.1f}{values[100]:>10.1f}")
        found.append({"stage": name, "one_row": values[1], "hundred_rows": values[100]})
    return found
