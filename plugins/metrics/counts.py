"""What is counted of each request, and how: the metrics by name, and one method that adds.

Labels are ours and bounded: rules of routes, known methods, codes, phases, plugins, models that
answer. Nothing that a caller spells is a label, save the client's name where the operator asks.
Times are seconds, as Prometheus has them. Knows no Flask and no SecureML.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .series import OTHER, Series

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNKNOWN_ROUTE = "unknown"
# From a refusal at the first phase to an answer that a client has given up on.
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PHASE_DURATIONS = (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0)
_NANO = 1e-9


class Counts:
    """The metrics of one server; nothing is opened before something is counted."""

    def __init__(self, clients: int = 0, sample: int = 1) -> None:
        """Count single clients, too, up to so many in each worker; time the phases in one request
        of ``sample``, the first among them."""
        # Eight phases are sixteen values to write, twice as many as all the rest together.
        self._timed = cycle([True] + [False] * (sample - 1))
        self.registry = CollectorRegistry()
        self._make_requests()
        self._make_refusals()
        self._make_clients(clients)

    def _make_requests(self) -> None:
        self._requests = self._counter(
            "requests",
            "Requests that were answered or refused.",
            "route",
            "method",
            "status",
            "code",
        )
        self._durations = self._histogram(
            "request_duration",
            "Time from the first phase to the finished answer.",
            DURATIONS,
            "route",
            "model",
        )
        self._phases = self._histogram(
            "phase_duration",
            "Time in each phase, in a sample of requests.",
            PHASE_DURATIONS,
            "phase",
        )
        self._rows = self._counter("rows", "Rows sent to the models.", "model", "version")
        self._bytes_in = self._counter(
            "request_body_bytes", "Bytes of bodies that were read.", "route"
        )
        self._bytes_out = self._counter(
            "response_body_bytes", "Bytes of bodies that were sent.", "route"
        )

    def _make_refusals(self) -> None:
        at = ("code", "phase", "plugin")
        self._refusals = self._counter("refusals", ("Requests refused, by plugin and reason."), *at)
        self._observed = self._counter(
            "observed_refusals", "What plugins in observe mode would have refused.", *at
        )
        self._callers = self._counter(
            "authentications",
            "Requests whose caller is known, by the plugin that identified the caller.",
            "plugin",
        )
        self._events = self._counter(
            "events", "Events, named after the OWASP Logging Vocabulary.", "event"
        )

    def _make_clients(self, most: int) -> None:
        self._clients = most > 0
        if self._clients:
            self._client_requests = self._counter(
                "client_requests", "Requests of each client.", "client", most=most
            )
            self._client_rows = self._counter(
                "client_rows", "Rows sent by each client.", "client", most=most
            )

    def _counter(self, name: str, what: str, *labels: str, **more: int) -> Series[Counter]:
        family = Counter(f"secureml_{name}", what, labels, registry=self.registry)
        return Series(family, len(labels), **more)

    def _histogram(
        self, name: str, what: str, buckets: Sequence[float], *labels: str
    ) -> Series[Histogram]:
        family = Histogram(
            f"secureml_{name}_seconds", what, labels, buckets=buckets, registry=self.registry
        )
        return Series(family, len(labels))

    def request(self, exchange: Any) -> None:
        """Count one finished request."""
        route = exchange.route or UNKNOWN_ROUTE
        method = exchange.request.method
        if method not in METHODS:
            method = OTHER
        refusal, model = exchange.refusal, exchange.model
        code = refusal.problem.code if refusal is not None else ""
        self._requests.of(route, method, exchange.status, code).inc()
        self._durations.of(route, model.name if model is not None else "").observe(
            exchange.elapsed_ns * _NANO
        )
        self._sizes(exchange, route)
        if next(self._timed):
            self._time(exchange.timings)
        if refusal is not None:
            self._refuse(self._refusals, refusal)
        for would_be in exchange.observed:
            self._refuse(self._observed, would_be)
        for event in exchange.events:
            self._events.of(event.name).inc()
        if exchange.principal is not None:
            self._caller(exchange)

    def event(self, name: str) -> None:
        """Count something that happened outside a request."""
        self._events.of(name).inc()

    def worker(self, threads: int) -> None:
        """Say that this process serves, with so many threads."""
        # Made here and not before: a metric without labels opens its file when it is made.
        self._alive("workers", "Worker processes in service.").set(1)
        self._alive(
            "threads", ("Requests that all workers together can serve at the same time.")
        ).set(threads)
        Counter(
            "secureml_worker_starts",
            "Worker processes started since the start of the server.",
            registry=self.registry,
        ).inc()

    def _alive(self, name: str, what: str) -> Gauge:
        return Gauge(f"secureml_{name}", what, multiprocess_mode="livesum", registry=self.registry)

    def _sizes(self, exchange: Any, route: str) -> None:
        if exchange.bytes_in:
            self._bytes_in.of(route).inc(exchange.bytes_in)
        if exchange.bytes_out:
            self._bytes_out.of(route).inc(exchange.bytes_out)
        if exchange.row_count and exchange.model is not None:
            self._rows.of(exchange.model.name, exchange.model.version).inc(exchange.row_count)

    def _time(self, timings: Iterable[tuple[Any, str, int]]) -> None:
        phase, spent = "", 0
        for at, _, nanoseconds in timings:
            if at != phase:
                if phase:
                    self._phases.of(phase).observe(spent * _NANO)
                phase, spent = str(at), 0
            spent += nanoseconds
        if phase:
            self._phases.of(phase).observe(spent * _NANO)

    def _caller(self, exchange: Any) -> None:
        principal = exchange.principal
        self._callers.of(principal.method).inc()
        if self._clients:
            self._client_requests.of(principal.client).inc()
            if exchange.row_count:
                self._client_rows.of(principal.client).inc(exchange.row_count)

    def _refuse(self, series: Series[Counter], refusal: Any) -> None:
        phase = refusal.phase.value if refusal.phase is not None else ""
        series.of(refusal.problem.code, phase, refusal.plugin).inc()
