"""Metrics in its phase: each request is counted once, whatever became of it."""

from __future__ import annotations

import http.client
import logging
import os
import socket
from contextlib import closing
from datetime import UTC, datetime

import pytest
from flask import Blueprint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import EnvironBuilder, run_wsgi_app

from plugins.anonymous.plugin import Anonymous
from plugins.metrics.plugin import Metrics
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Event, Phase, Problem, public
from secureml.cli import certificates
from secureml.pipeline.problems import Catalogue
from secureml.testing import Harness

WIRE = st.text(st.characters(max_codepoint=255), max_size=60)


@pytest.fixture
def harness(tmp_path, monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    made = Harness(tmp_path)
    yield made
    made.store.close()


def views():
    blueprint = Blueprint("test", __name__)

    @blueprint.get("/things/<name>")
    @public()
    def thing(name):
        if name == "refused":
            raise Problem("rate_limited")
        return {"name": 1 / (name != "broken")}

    return blueprint


def app_of(harness, loaded):
    return harness.app([harness.load(Anonymous), harness.load(Scopes), loaded], [views()])


def samples(loaded):
    """Return what a scraper would read: name, labels, value."""
    body, _ = loaded.plugin._exposition.text("")
    return [
        (sample.name.removeprefix("secureml_"), sample.labels, sample.value)
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def test_each_request_is_counted_once(harness):
    """Answered, refused, broken, unknown, by a wrong method."""
    loaded = harness.load(Metrics)
    client = app_of(harness, loaded).test_client()
    for path in ("/things/a", "/things/b", "/things/refused", "/things/broken", "/nowhere"):
        client.get(path)
    client.post("/things/a")

    counted = {
        tuple(labels[name] for name in ("method", "route", "status", "code")): value
        for name, labels, value in samples(loaded)
        if name == "requests_total"
    }
    assert counted == {
        ("GET", "/things/<name>", "200", ""): 2,
        ("GET", "/things/<name>", "429", "rate_limited"): 1,
        ("GET", "/things/<name>", "500", "internal_error"): 1,
        ("GET", "unknown", "404", "not_found"): 1,
        ("POST", "unknown", "405", "method_not_allowed"): 1,
    }


def test_what_is_told_outside_a_request_is_counted(harness):
    loaded = harness.load(Metrics)
    loaded.plugin.on_event(Event("user_updated", "acme"))
    assert ("events_total", {"event": "user_updated"}, 1) in samples(loaded)


ALLOWED = {
    "route": {"unknown", "/things/<name>"},
    "method": {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"},
    "model": {""},
    "plugin": {"", "anonymous"},
    "phase": {"", *(phase.value for phase in Phase)},
}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(st.lists(st.tuples(WIRE, WIRE, WIRE), max_size=20))
def test_attack_random_requests_make_no_new_series(harness, requests):
    """Paths, methods and headers that nobody has sent before: every label is one of ours."""
    loaded = harness.load(Metrics)
    app = app_of(harness, loaded)
    for path, method, text in requests:
        for place in (f"/things/{path}", f"/{path}"):
            environ = {"PATH_INFO": place, "REQUEST_METHOD": method, "HTTP_X_REQUEST_ID": text}
            run_wsgi_app(app, EnvironBuilder().get_environ() | environ)

    codes = {kind.code for kind in Catalogue()} | {""}
    statuses = {str(kind.status) for kind in Catalogue()} | {"200"}
    allowed = ALLOWED | {"code": codes, "status": statuses}
    for name, labels, _ in samples(loaded):
        assert all(value in allowed[label] for label, value in labels.items() if label != "le"), (
            name,
            labels,
        )


def test_certificates_are_measured(harness):
    (harness.folder / "tls").mkdir()
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    certificates.make(harness.folder / "tls", ["localhost"], begins)
    measured = {m.name: (m.value, m.labels) for m in harness.build(Metrics).measures()}
    start = begins.timestamp() - 300
    file = {"file": "tls/server.crt"}
    assert measured == {
        "certificate_not_before_timestamp_seconds": (start, file),
        "certificate_not_after_timestamp_seconds": (start + 365 * 86400, file),
    }


def test_without_certificates_there_is_nothing_to_measure(harness):
    assert harness.build(Metrics, {"certificates": []}).measures() == []
    assert harness.build(Metrics).measures() == []


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"listen": "0.0.0.0:9464"}, "listen"),
        ({"listen": "localhost"}, "listen"),
        ({"clients": -1}, "clients"),
        ({"clients": 10_001}, "clients"),
        ({"certificates": [""]}, "certificates.0"),
        ({"liste": ""}, "liste"),
    ],
)
def test_a_table_that_cannot_work_stops_the_start(harness, table, key):
    with pytest.raises(ConfigError) as refused:
        harness.load(Metrics, table)
    assert refused.value.key == key


def test_a_folder_that_cannot_be_written_stops_the_start(harness, monkeypatch):
    """A file in its place; the owner of a folder of another one's is found the same way."""
    (harness.folder / "run").write_text("")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(harness.folder / "run" / "metrics"))
    with pytest.raises(ConfigError, match="cannot write counters to run/metrics"):
        harness.load(Metrics)


def test_a_folder_that_is_missing_is_made_and_no_counter_in_it(harness, monkeypatch):
    """What is open before a fork is shared after it."""
    folder = harness.folder / "run" / "metrics"
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    harness.load(Metrics)
    assert list(folder.iterdir()) == []


def test_a_command_needs_no_folder(harness):
    """It may run where only the store can be written."""
    harness.load(Metrics)
    assert not (harness.folder / "run").exists()


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


def test_a_socket_of_its_own_takes_the_place_of_the_route(harness):
    port = free_port()
    loaded = harness.load(Metrics, {"listen": f"127.0.0.1:{port}"})
    app = app_of(harness, loaded)
    assert app.test_client().get("/metrics").status_code == 404
    loaded.plugin.start_worker(4)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/metrics")
        body = connection.getresponse().read().decode()
    assert "secureml_threads 4.0" in body
    loaded.plugin.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    loaded.plugin.close()  # for good


def test_a_port_that_another_program_has_stops_no_worker(harness, caplog):
    """The model answers; whoever scrapes finds nothing there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with caplog.at_level(logging.ERROR):
            metrics = harness.build(Metrics, {"listen": address})
            metrics.start_worker(4)
        metrics.close()
    assert f"metrics: cannot listen on {address} ({os.strerror(98)})" in caplog.text
