"""Spans as a real collector receives them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("opentelemetry.sdk", reason="pip install -r tests/requirements.txt")
sys.path.insert(0, str(Path(__file__).parent))
from collector import collecting, plain

from plugins.traces.spans import Spans, Target, laid_out
from secureml import Event, Phase, Principal, Problem, Refusal
from secureml.testing import START, Harness

ALICE = Principal("alice", "bob", frozenset(), frozenset({"*"}), "gold", "badge", "k7")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MS = 1_000_000
SECRET = "s3cr3t"


@pytest.fixture
def exchange(tmp_path):
    """A finished prediction that says nothing but secrets where spans must not look."""
    harness = Harness(tmp_path)
    made = harness.exchange(
        "POST", f"/v1/models/{SECRET}", query_string=SECRET, headers={"X-API-Key": SECRET}
    )
    made.route, made.status, made.elapsed_ns = "/v1/models/<model>/predict", 200, 10 * MS
    made.principal, made.model = ALICE, SimpleNamespace(name="iris", version="3")
    made.row_count, made.bytes_in, made.bytes_out, made.scheme = 2, 17, 99, "https"
    made.timings = [
        (Phase.ADMIT, "a", 1 * MS), (Phase.ADMIT, "b", 1 * MS), (Phase.LIMIT, "c", 1 * MS),
        (Phase.SHAPE, "d", 1 * MS), (Phase.RESPOND, "e", 2 * MS),
    ]  # fmt: skip
    yield made
    harness.store.close()


def sent(exchange, traceparent="", share=1.0, token=None):
    """Return what a collector gets of one request."""
    with collecting() as seen:
        spans = Spans(Target(seen.url, "ours", share, token))
        spans.write(exchange, traceparent)
        spans.close()
    return seen


def test_a_request_is_one_span_with_a_child_for_each_phase(exchange):
    seen = sent(exchange)
    *phases, request = seen.spans
    start = int(START * 1e9)
    laid = [(s.name, s.start_time_unix_nano - start, s.end_time_unix_nano - start) for s in phases]
    assert laid == [
        ("admit", 0, 2 * MS), ("limit", 2 * MS, 3 * MS),
        ("shape", 7 * MS, 8 * MS), ("respond", 8 * MS, 10 * MS),
    ]  # fmt: skip
    assert {span.parent_span_id for span in phases} == {request.span_id}
    assert {span.trace_id for span in phases} == {request.trace_id}
    assert request.name == "POST /v1/models/<model>/predict"
    assert request.end_time_unix_nano - request.start_time_unix_nano == 10 * MS
    assert request.parent_span_id == b""
    assert seen.resources == [{"service.name": "ours"}]
    assert plain(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/models/<model>/predict",
        "http.response.status_code": 200,
        "http.request.body.size": 17,
        "http.response.body.size": 99,
        "url.scheme": "https",
        "secureml.request.id": "0" * 32,
        "secureml.client": "alice",
        "secureml.model.name": "iris",
        "secureml.model.version": "3",
        "secureml.rows": 2,
    }


def test_nothing_secret_is_in_a_span(exchange):
    exchange.refusal = Refusal(Phase.LIMIT, "gate", Problem("rate_limited", reason=SECRET))
    exchange.events = [Event("authn_token_revoked", "alice", {"jti": SECRET})]
    assert SECRET not in str(sent(exchange, PARENT).spans)


def test_a_refusal_has_its_code_and_a_fault_its_status(exchange):
    exchange.refusal = Refusal(Phase.LIMIT, "gate", Problem("rate_limited"))
    exchange.status = 429
    span = sent(exchange).spans[-1]
    assert plain(span.attributes)["error.type"] == "rate_limited"
    assert plain(span.attributes)["secureml.refusal.plugin"] == "gate"
    assert span.status.code == 0
    exchange.status = 500
    assert sent(exchange).spans[-1].status.code == 2


def test_what_happened_is_an_event_of_the_span(exchange):
    exchange.events = [Event("authn_token_revoked"), Event("user_updated")]
    events = sent(exchange).spans[-1].events
    assert [event.name for event in events] == ["authn_token_revoked", "user_updated"]


def test_a_stranger_at_an_unknown_path_is_a_span_without_names(exchange):
    exchange.route, exchange.principal, exchange.model = "", None, None
    exchange.request.method = "XYZZY"
    span = sent(exchange).spans[-1]
    assert span.name == "_OTHER"
    assert not {"http.route", "secureml.client"} & plain(span.attributes).keys()


def test_a_parent_is_continued(exchange):
    request = sent(exchange, PARENT).spans[-1]
    assert request.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert request.parent_span_id.hex() == "b7ad6b7169203331"


@pytest.mark.parametrize(
    "header",
    [
        "x",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        PARENT.upper(),
        PARENT + "-more",
    ],
)
def test_attack_a_parent_that_is_none_begins_a_trace_of_its_own(exchange, header):
    request = sent(exchange, header).spans[-1]
    assert request.parent_span_id == b""
    assert request.trace_id.hex() != "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("header", ["", PARENT])
def test_attack_a_parent_does_not_decide_what_is_recorded(exchange, header):
    """A stranger would otherwise choose what we pay for."""
    assert sent(exchange, header, share=0.0).spans == []


def test_the_token_is_read_anew_for_each_sending(exchange):
    tokens = iter(["first", "second"])
    with collecting() as seen:
        spans = Spans(Target(seen.url, "ours", 1.0, lambda: next(tokens)))
        for _ in range(2):
            spans.write(exchange, "")
            spans._here.provider.force_flush()
        spans.close()
    assert [headers["Authorization"] for headers in seen.headers] == [
        "Bearer first",
        "Bearer second",
    ]


def test_nothing_of_the_environment_is_sent_along(exchange, monkeypatch, tmp_path):
    """A proxy's address or a password there is for somebody else."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    (headers,) = sent(exchange).headers
    assert "Authorization" not in headers


def test_a_collector_that_is_gone_costs_no_answer(exchange):
    with collecting() as seen:
        url = seen.url
    spans = Spans(Target(url, "ours", 1.0))
    for _ in range(10):
        spans.write(exchange, "")
    assert spans._here is not None


def test_a_fork_sends_its_own_spans(exchange):
    """Neither thread nor queue crosses it."""
    with collecting() as seen:
        spans = Spans(Target(seen.url, "ours", 1.0))
        spans.write(exchange, "")
        child = os.fork()
        if child == 0:
            try:
                spans.write(exchange, "")
                spans.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        spans.close()
    assert [span.name for span in seen.spans if span.name.startswith("POST")] == [
        "POST /v1/models/<model>/predict"
    ] * 2


def test_phases_that_took_longer_than_the_whole_begin_no_earlier_than_it():
    """A recorder's time is not in the whole."""
    timings = [(Phase.ADMIT, "a", 2), (Phase.RECORD, "b", 100)]
    assert list(laid_out(timings, 1000, 1010)) == [("admit", 1000, 1002), ("record", 1000, 1100)]
