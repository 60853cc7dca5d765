"""From a finished request to its spans, and from there to a collector (OTLP over HTTP).

Spans are made when the answer is, from what was measured anyway, so that a request pays once,
and sent from a thread that is started by the first of them in each process: neither a thread
nor its queue crosses a fork. A collector that is slow or gone costs spans, never answers.

Names and attributes follow OpenTelemetry's conventions for HTTP servers; what is ours begins
with ``secureml.``. No path, query, header, body, address, credential or private reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any, NamedTuple

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from requests.auth import AuthBase

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
AFTER_THE_VIEW = frozenset({"shape", "respond", "record"})
PATIENCE = 2.0  # seconds a collector may take for a batch
_NANO = 1_000_000_000


class Target(NamedTuple):
    """Where spans go, under which name, and of which share of requests."""

    endpoint: str
    service: str
    share: float
    token: Callable[[], str] | None = None


class _Here(NamedTuple):
    """What belongs to one process."""

    pid: int
    provider: TracerProvider
    tracer: Tracer


class Spans:
    """Makes and sends the spans of finished requests."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = Lock()
        self._here: _Here | None = None
        self._propagator = TraceContextTextMapPropagator()

    def write(self, exchange: Any, traceparent: str) -> None:
        """Make the spans of one request, below the parent that is given; "" for none."""
        parent = self._propagator.extract({"traceparent": traceparent}) if traceparent else None
        begin = int(exchange.started * _NANO)
        end = begin + exchange.elapsed_ns
        tracer = self._tracer()
        span = tracer.start_span(
            _name(exchange), parent, SpanKind.SERVER, _attributes(exchange), start_time=begin
        )
        if span.is_recording():
            below = set_span_in_context(span)
            for phase, first, last in laid_out(exchange.timings, begin, end):
                tracer.start_span(phase, below, start_time=first).end(last)
            for event in exchange.events:
                span.add_event(event.name, timestamp=end)
            if exchange.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """Send what is waiting and stop the thread."""
        if self._here is not None and self._here.pid == os.getpid():
            self._here.provider.shutdown()
            self._here = None

    def _tracer(self) -> Tracer:
        here = self._here
        if here is None or here.pid != os.getpid():
            with self._lock:
                here = self._here
                if here is None or here.pid != os.getpid():
                    here = self._here = _begin(self._target)
        return here.tracer


class _Bearer(AuthBase):
    """Shows the token as it is at each sending, so that it may be rotated."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        return request


def _begin(target: Target) -> _Here:
    session = requests.Session()
    session.trust_env = False  # no proxy, and no password of a .netrc, out of the environment
    if target.token is not None:
        session.auth = _Bearer(target.token)
    exporter = OTLPSpanExporter(target.endpoint, timeout=PATIENCE, session=session)
    provider = TracerProvider(
        # The trace's own id decides, so a parent cannot have us record what we would not.
        sampler=TraceIdRatioBased(target.share),
        resource=Resource({"service.name": target.service}),
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return _Here(os.getpid(), provider, provider.get_tracer("secureml"))


def laid_out(
    timings: list[tuple[Any, str, int]], begin: int, end: int
) -> Iterator[tuple[str, int, int]]:
    """Yield each phase with its begin and end, in nanoseconds since the epoch.

    Only how long a phase took is measured. Those before the view stand end to end after the
    begin, those after it end to end before the end; the gap between them is the view.
    """
    spent: dict[str, int] = {}
    for phase, _, nanoseconds in timings:
        spent[phase.value] = spent.get(phase.value, 0) + nanoseconds
    after = sum(took for phase, took in spent.items() if phase in AFTER_THE_VIEW)
    at, late = begin, max(begin, end - after)
    for phase, took in spent.items():
        if phase in AFTER_THE_VIEW:
            yield phase, late, late + took
            late += took
        else:
            yield phase, at, at + took
            at += took


def _name(exchange: Any) -> str:
    method = _method(exchange)
    return f"{method} {exchange.route}" if exchange.route else method


def _method(exchange: Any) -> str:
    method: str = exchange.request.method
    return method if method in METHODS else "_OTHER"


def _attributes(exchange: Any) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "http.request.method": _method(exchange),
        "http.response.status_code": exchange.status,
        "http.request.body.size": exchange.bytes_in,
        "http.response.body.size": exchange.bytes_out,
        "url.scheme": exchange.scheme,
        "secureml.request.id": exchange.id,
    }
    if exchange.route:
        found["http.route"] = exchange.route
    if exchange.principal is not None:
        found["secureml.client"] = exchange.principal.client
    if exchange.model is not None:
        found["secureml.model.name"] = exchange.model.name
        found["secureml.model.version"] = exchange.model.version
        found["secureml.rows"] = exchange.row_count
    if exchange.refusal is not None:
        found["error.type"] = exchange.refusal.problem.code
        found["secureml.refusal.plugin"] = exchange.refusal.plugin
    return found
