"""What a scraper gets: valid in both formats, summed over workers, measured now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from plugins.metrics.exposition import Exposition, Measured
from secureml import Measure

CHECKOUT = Path(__file__).resolve().parents[3]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# What Prometheus 2.42 sends.
PROMETHEUS = f"{OPENMETRICS},text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.fixture
def alone(monkeypatch):
    """No Gunicorn: the process has all the counts itself."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


def exposition(*measures, counted=1):
    """An exposition of one counter and some measures."""
    registry = CollectorRegistry()
    Counter("secureml_things", "Things.", registry=registry).inc(counted)
    return Exposition(registry, Measured(lambda: list(measures)))


AGE = Measure("key_age_seconds", 3.5, "How old a key is.", {"kid": "one"})
TOTAL = Measure("audit_records_total", 7, "Records written.")


@pytest.mark.usefixtures("alone")
def test_plain_text_is_what_anybody_gets():
    body, media_type = exposition(AGE, TOTAL).text("")
    assert media_type.startswith("text/plain; version=0.0.4")
    assert body.decode().splitlines() == [
        "# HELP secureml_things_total Things.",
        "# TYPE secureml_things_total counter",
        "secureml_things_total 1.0",
        "# HELP secureml_things_created Things.",
        "# TYPE secureml_things_created gauge",
        body.decode().splitlines()[5],
        "# HELP secureml_key_age_seconds How old a key is.",
        "# TYPE secureml_key_age_seconds gauge",
        'secureml_key_age_seconds{kid="one"} 3.5',
        "# HELP secureml_audit_records_total Records written.",
        "# TYPE secureml_audit_records_total counter",
        "secureml_audit_records_total 7.0",
    ]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("accept", [OPENMETRICS, PROMETHEUS])
def test_openmetrics_is_for_who_asks_for_it(accept):
    body, media_type = exposition(AGE, TOTAL).text(accept)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in openmetrics(body.decode())}
    assert families == {
        "secureml_things": "counter",
        "secureml_key_age_seconds": "gauge",
        "secureml_audit_records": "counter",
    }


@pytest.mark.usefixtures("alone")
@given(st.text(), st.text(), st.text())
def test_attack_no_label_or_description_adds_a_line(value, description, accept):
    """Whatever a plugin has put there."""
    measure = Measure("age_seconds", 1, description, {"kid": value})
    body, _ = exposition(measure).text(accept if "openmetrics" not in accept else "")
    found = [family for family in plain(body.decode()) if family.name == "secureml_age_seconds"]
    assert [sample.value for family in found for sample in family.samples] == [1]


@pytest.mark.usefixtures("alone")
def test_a_measure_that_is_said_twice_is_told_once():
    """Prometheus would refuse the whole answer."""
    body, _ = exposition(AGE, AGE, Measure(AGE.name, 4, "", {"kid": "two"})).text("")
    assert body.decode().count("\nsecureml_key_age_seconds{") == 2


WORKERS = """
import os, sys
from prometheus_client import values
from plugins.metrics.counts import Counts
from plugins.metrics.exposition import Exposition, Measured

counts = Counts()
exposition = Exposition(counts.registry, Measured(list))
for place in ("7-0", "7-1", "7-0"):  # the third takes the place of the first
    child = os.fork()
    if not child:
        values.ValueClass = values.MultiProcessValue(lambda: place)
        counts.worker(4)
        counts.event("user_updated")
        os.kill(os.getpid(), 9) if sys.argv[1] == "kill" else os._exit(0)
    os.waitpid(child, 0)
    print(exposition.text("")[0].decode())
    print("====")
"""


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_any_worker_answers_for_all_and_for_those_that_have_ended(tmp_path, end):
    """A worker that replaces another goes on with its counters: as many files as places."""
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, end],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    scrapes = done.stdout.split("====\n")[:3]
    for number, scrape in enumerate(scrapes, 1):
        assert f'secureml_events_total{{event="user_updated"}} {number}.0' in scrape
        assert f"secureml_worker_starts_total {number}.0" in scrape
    assert "secureml_threads 8.0" in scrapes[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{kind}_7-{place}.db" for kind in ("counter", "gauge_livesum") for place in (0, 1)
    ]
