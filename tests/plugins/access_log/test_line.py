"""One line: what it says, and what it has no place for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plugins.access_log.line import line, milliseconds, rfc3339
from secureml import Event, Phase, Principal, Problem, Refusal
from secureml.testing import START, Harness
from tests.json_schema import faults

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "plugins" / "access_log" / "line.schema.json").read_text("utf-8")
)
README = Path(__file__).parents[3] / "plugins" / "access_log" / "README.md"
ALICE = Principal("alice", "bob", frozenset({"predict"}), frozenset({"*"}), "gold", "badge", "k7")
SECRET = "s3cr3t"


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def finished(harness, **facts):
    """Return an exchange whose answer is final."""
    exchange = harness.exchange(
        "POST",
        f"/v1/models/{SECRET}/predict",
        query_string=f"key={SECRET}",
        headers={"X-API-Key": SECRET, "Cookie": SECRET, "User-Agent": SECRET, "Referer": SECRET},
        data=json.dumps({"instances": [[SECRET]]}),
    )
    exchange.status, exchange.elapsed_ns = 200, 1_234_567
    for name, value in facts.items():
        setattr(exchange, name, value)
    return exchange


def full(harness):
    """Return an exchange with every fact there can be."""
    refusal = Refusal(Phase.LIMIT, "gate", Problem("rate_limited", reason="gate.full"))
    return finished(
        harness,
        principal=ALICE,
        model=SimpleNamespace(name="iris", version="3"),
        refusal=refusal,
        observed=[refusal],
        client_address="192.0.2.7",
        foreign_id="abc",
        route="/v1/models/<model>/predict",
        bytes_in=17,
        bytes_out=99,
        row_count=2,
        timings=[
            (Phase.ADMIT, "one", 1_000_000),
            (Phase.ADMIT, "two", 500_000),
            (Phase.LIMIT, "gate", 2_345),
        ],
        events=[Event("authn_token_revoked"), Event("user_updated", "alice", {"tier": SECRET})],
    )


def test_time_is_utc_to_the_millisecond():
    """RFC 3339, always of one length, so that lines sort."""
    assert rfc3339(START) == "2026-01-01T00:00:00.000Z"
    assert rfc3339(START + 0.1254) == "2026-01-01T00:00:00.125Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"


def test_a_plain_line(harness):
    """A stranger's request that nobody refused."""
    assert line(finished(harness)) == {
        "time": "2026-01-01T00:00:00.000Z",
        "id": "0" * 32,
        "foreign_id": "",
        "address": "",
        "method": "POST",
        "route": "",
        "status": 200,
        "client": "",
        "credential": "",
        "auth": "",
        "bytes_in": 0,
        "bytes_out": 0,
        "rows": 0,
        "milliseconds": 1.235,
        "phases": {},
    }


def test_a_full_line(harness):
    """Who, what, which model, what became of it, and what would have."""
    refused = {"code": "rate_limited", "phase": "LIMIT", "plugin": "gate", "reason": "gate.full"}

    assert line(full(harness)) == {
        "time": "2026-01-01T00:00:00.000Z",
        "id": "0" * 32,
        "foreign_id": "abc",
        "address": "192.0.2.7",
        "method": "POST",
        "route": "/v1/models/<model>/predict",
        "status": 200,
        "client": "alice",
        "credential": "k7",
        "auth": "badge",
        "bytes_in": 17,
        "bytes_out": 99,
        "rows": 2,
        "milliseconds": 1.235,
        "phases": {"ADMIT": 1.5, "LIMIT": 0.002},
        "model": "iris",
        "version": "3",
        **refused,
        "observed": [refused],
        "events": ["authn_token_revoked", "user_updated"],
    }


@given(st.integers(0, 10**13))
@example(500)
@example(2500)
@example(4500)
@example(0)
def test_milliseconds_are_rounded_as_python_rounds_them(nanoseconds):
    """Where it lies between two thousandths as well: three hours at most."""
    assert repr(milliseconds(nanoseconds)) == repr(round(nanoseconds / 1e6, 3))


@given(st.integers(0, 10**10))
def test_milliseconds_between_two_thousandths_are_rounded_as_python_rounds_them(thousands):
    """One request in a thousand."""
    nanoseconds = thousands * 1000 + 500
    assert milliseconds(nanoseconds) == round(nanoseconds / 1e6, 3)


def test_a_refusal_by_no_plugin_has_an_empty_phase(harness):
    """The view's own, or Werkzeug's 404."""
    said = line(finished(harness, refusal=Refusal(None, "", Problem("not_found"))))

    assert (said["code"], said["phase"], said["plugin"]) == ("not_found", "", "")


def test_the_readme_lists_exactly_the_fields_that_are_written(harness):
    """Whoever builds on the log reads it there."""
    table = README.read_text("utf-8").split("## Fields")[1].split("## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert documented == list(line(full(harness)))


def test_nothing_secret_has_a_place_in_it(harness):
    """Path, query string, headers and body of these requests hold nothing but secrets."""
    for exchange in (finished(harness), full(harness)):
        assert SECRET not in json.dumps(line(exchange))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.text())
def test_whatever_text_the_facts_hold_a_line_is_json(harness, method, foreign_id, reason):
    """Not only for the texts we expect."""
    exchange = finished(harness, refusal=Refusal(None, "", Problem("not_found", reason=reason)))
    exchange.request.method = method
    exchange.foreign_id = foreign_id

    said = json.loads(json.dumps(line(exchange)))
    assert (said["method"], said["foreign_id"]) == (method, foreign_id)
    assert said["reason"] == (reason or "not_found")


def test_every_line_fits_the_schema(harness):
    """Whoever reads the log with a program relies on it."""
    for exchange in (finished(harness), full(harness)):
        exchange.id = "0123456789abcdef" * 2
        assert faults(SCHEMA, json.loads(json.dumps(line(exchange)))) == []


def test_the_schema_names_exactly_the_fields_that_are_written(harness):
    """None more: a program would wait for it in vain."""
    assert list(SCHEMA["properties"]) == list(line(full(harness)))
    assert SCHEMA["required"] == list(line(finished(harness)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time", "2026-01-01 00:00:00"),
        ("id", "0"),
        ("status", 1000),
        ("status", "200"),
        ("status", True),
        ("rows", -1),
        ("route", "nowhere"),
        ("phases", {"CELLAR": 1.0}),
        ("phases", {"ADMIT": -1.0}),
        ("phase", "CELLAR"),
        ("observed", [{"code": "rate_limited"}]),
        ("events", ["Something else"]),
        ("body", "secret"),
        ("version", None),
    ],
)
def test_the_schema_refuses_what_is_no_line(harness, field, value):
    """One wrong field is enough."""
    said = line(full(harness)) | {field: value}
    assert faults(SCHEMA, said) != []


@pytest.mark.parametrize("field", SCHEMA["required"])
def test_the_schema_refuses_a_line_that_lacks_a_field(harness, field):
    """Each that every line has."""
    said = line(full(harness))
    del said[field]
    assert faults(SCHEMA, said) == ["/: required"]
