"""What one request adds to which metric."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.metrics.counts import Counts
from secureml import Event, Phase, Principal, Problem, Refusal
from secureml.testing import Harness

ALICE = Principal("alice", "bob", frozenset(), frozenset({"*"}), "gold", "badge", "k7")
IRIS = SimpleNamespace(name="iris", version="3")
PREDICT = "/v1/models/<model>/predict"


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    made = Harness(tmp_path)
    yield made
    made.store.close()


def finished(harness, method="POST", **facts):
    """Return an exchange whose answer is final."""
    exchange = harness.exchange(method, "/somewhere")
    exchange.status, exchange.elapsed_ns = 200, 4_000_000
    for name, value in facts.items():
        setattr(exchange, name, value)
    return exchange


def samples(counts):
    """Return every sample that is not zero, by name and labels as Prometheus writes them."""
    return {
        f"{s.name.removeprefix('secureml_')}{sorted(s.labels.items())}": s.value
        for metric in counts.registry.collect()
        for s in metric.samples
        if s.value and not s.name.endswith("_created")
    }


def emitted(counts, name, **labels):
    """Return one sample; 0 where there is none."""
    return samples(counts).get(f"{name}{sorted(labels.items())}", 0)


def test_an_answer_is_counted_by_route_method_status_and_model(harness):
    counts = Counts()
    answer = finished(
        harness, route=PREDICT, principal=ALICE, model=IRIS, row_count=7, bytes_in=50, bytes_out=90
    )
    counts.request(answer)
    counts.request(answer)

    labels = {"route": PREDICT, "method": "POST", "status": "200", "code": ""}
    assert emitted(counts, "requests_total", **labels) == 2
    assert emitted(counts, "rows_total", model="iris", version="3") == 14
    assert emitted(counts, "request_body_bytes_total", route=PREDICT) == 100
    assert emitted(counts, "response_body_bytes_total", route=PREDICT) == 180
    assert emitted(counts, "authentications_total", plugin="badge") == 2
    timed = {"route": PREDICT, "model": "iris"}
    assert emitted(counts, "request_duration_seconds_count", **timed) == 2
    assert emitted(counts, "request_duration_seconds_sum", **timed) == pytest.approx(0.008)
    assert emitted(counts, "request_duration_seconds_bucket", **timed, le="0.0025") == 0
    assert emitted(counts, "request_duration_seconds_bucket", **timed, le="0.005") == 2


def test_a_refusal_is_counted_by_code_phase_and_plugin(harness):
    counts = Counts()
    refusal = Refusal(Phase.LIMIT, "gate", Problem("rate_limited", reason="gate.full"))
    bare = Refusal(None, "", Problem("not_found"))
    counts.request(finished(harness, status=429, refusal=refusal))
    counts.request(finished(harness, status=404, refusal=bare))
    counts.request(finished(harness, observed=[refusal, refusal]))

    assert emitted(counts, "refusals_total", code="rate_limited", phase="limit", plugin="gate") == 1
    assert emitted(counts, "refusals_total", code="not_found", phase="", plugin="") == 1
    observed = {"code": "rate_limited", "phase": "limit", "plugin": "gate"}
    assert emitted(counts, "observed_refusals_total", **observed) == 2
    labels = {"route": "unknown", "method": "POST"}
    assert emitted(counts, "requests_total", **labels, status="429", code="rate_limited") == 1
    assert emitted(counts, "requests_total", **labels, status="200", code="") == 1


def test_the_phases_are_timed_in_one_request_of_so_many(harness):
    counts = Counts(sample=3)
    for _ in range(7):
        counts.request(finished(harness, timings=[(Phase.ADMIT, "a", 1000)]))
    assert emitted(counts, "phase_duration_seconds_count", phase="admit") == 3


def test_time_is_told_by_phase(harness):
    """Of all its plugins together; a phase that was passed twice was passed twice."""
    counts = Counts()
    passed = [("a", Phase.ADMIT, 1000), ("b", Phase.ADMIT, 500), ("c", Phase.LIMIT, 9)]
    passed += [("d", Phase.RESPOND, 1), ("e", Phase.RECORD, 2), ("d", Phase.RESPOND, 3)]
    counts.request(
        finished(harness, timings=[(phase, name, n * 1000) for name, phase, n in passed])
    )

    def of(phase, what):
        return emitted(counts, f"phase_duration_seconds_{what}", phase=phase)

    assert of("admit", "sum") == pytest.approx(0.0015)
    assert of("limit", "sum") == pytest.approx(9e-6)
    assert [of(phase, "count") for phase in ("admit", "limit", "respond", "record")] == [1, 1, 2, 1]


def test_events_are_counted_by_name_wherever_they_come_from(harness):
    counts = Counts()
    events = [Event("authn_token_revoked", "alice", {"jti": "1"}), Event("authn_token_revoked")]
    counts.request(finished(harness, events=events))
    counts.event("user_updated")

    assert emitted(counts, "events_total", event="authn_token_revoked") == 2
    assert emitted(counts, "events_total", event="user_updated") == 1


def test_single_clients_are_counted_only_when_asked_and_only_so_many(harness):
    def by_client(most):
        counts = Counts(most)
        for name in ("alice", "bob", "carol", "dave"):
            principal = Principal(name, name, frozenset(), frozenset(), "", "badge", "k")
            counts.request(finished(harness, principal=principal, row_count=2, model=IRIS))
        return {key: value for key, value in samples(counts).items() if key.startswith("client")}

    assert by_client(0) == {}
    assert by_client(2) == {
        "client_requests_total[('client', 'alice')]": 1,
        "client_requests_total[('client', 'bob')]": 1,
        "client_requests_total[('client', 'other')]": 2,
        "client_rows_total[('client', 'alice')]": 2,
        "client_rows_total[('client', 'bob')]": 2,
        "client_rows_total[('client', 'other')]": 4,
    }


def test_a_worker_says_that_it_serves(harness):
    counts = Counts()
    counts.worker(4)

    assert emitted(counts, "workers") == 1
    assert emitted(counts, "threads") == 4
    assert emitted(counts, "worker_starts_total") == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(), st.text(), st.text(), st.text()), min_size=1, max_size=30))
def test_attack_what_a_caller_spells_makes_no_series(harness, requests):
    """Method, path, the model's name in it, its own id and address."""
    counts = Counts()
    for method, name, foreign_id, address in requests:
        exchange = finished(harness, model_name=name, foreign_id=foreign_id, status=404)
        exchange.request.method, exchange.client_address = method, address
        counts.request(exchange)

    counted = [key for key in samples(counts) if key.startswith("requests_total")]
    assert len(counted) <= 8
    assert sum(samples(counts)[key] for key in counted) == len(requests)
    assert all("'unknown'" in key for key in counted)
