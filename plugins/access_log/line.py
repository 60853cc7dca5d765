"""What one line of the access log says. No body, no header, no query string, no secret."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

COUNTED = "refusals_counted"


class _Principal(Protocol):
    @property
    def client(self) -> str: ...
    @property
    def credential(self) -> str: ...
    @property
    def method(self) -> str: ...


def rfc3339(seconds: float) -> str:
    """Return UTC to the millisecond, e.g. 2026-01-31T09:30:00.125Z."""
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{_to_the_second(whole)}.{thousandths:03d}Z"


@lru_cache(4)
def _to_the_second(seconds: int) -> str:
    # Thousands of lines are of the same second.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def line(exchange: Any) -> dict[str, Any]:
    """Return the fields, as the README lists them, for one finished exchange."""
    principal: _Principal | None = exchange.principal
    fields: dict[str, Any] = {
        "time": rfc3339(exchange.started),
        "id": exchange.id,
        "foreign_id": exchange.foreign_id,
        "address": exchange.client_address,
        "method": exchange.request.method,
        "route": exchange.route,
        "status": exchange.status,
        "client": principal.client if principal else "",
        "credential": principal.credential if principal else "",
        "auth": principal.method if principal else "",
        "bytes_in": exchange.bytes_in,
        "bytes_out": exchange.bytes_out,
        "rows": exchange.row_count,
        "milliseconds": milliseconds(exchange.elapsed_ns),
        "phases": _by_phase(exchange.timings),
    }
    if exchange.model is not None:
        fields["model"] = exchange.model.name
        fields["version"] = exchange.model.version
    if exchange.refusal is not None:
        fields.update(_refused(exchange.refusal))
    if exchange.observed:
        fields["observed"] = [_refused(refusal) for refusal in exchange.observed]
    if exchange.events:
        fields["events"] = [event.name for event in exchange.events]
    return fields


def counted_line(event: Any, now: float) -> dict[str, Any]:
    """Return the fields for refused requests that were only counted, with their number."""
    facts, client = event.facts, event.client
    return {
        "time": rfc3339(now),
        "event": event.name,
        "subject": facts["subject"],
        "client": client,
        "status": facts["status"],
        "code": facts["code"],
        "route": facts["route"],
        "count": facts["count"],
        "first": facts["first"],
        "last": facts["last"],
    }


def _by_phase(timings: list[tuple[Any, str, int]]) -> dict[str, float]:
    """Return milliseconds by phase, of all its plugins together, in the order of the phases."""
    spent: dict[str, int] = {}
    for phase, _, nanoseconds in timings:
        if phase in spent:
            spent[phase] += nanoseconds
        else:
            spent[phase] = nanoseconds
    # As enumerations have it, ``phase.name`` is a call of Python's own for each step.
    return {phase.upper(): milliseconds(nanoseconds) for phase, nanoseconds in spent.items()}


def milliseconds(nanoseconds: int) -> float:
    """Return the nearest thousandth, as ``round(nanoseconds / 1e6, 3)``, in half its time."""
    if nanoseconds % 1000 == 500:
        return round(nanoseconds / 1e6, 3)  # between two: which is nearer, its binary form says
    return (nanoseconds + 500) // 1000 / 1000


def _refused(refusal: Any) -> dict[str, str]:
    return {
        "code": refusal.problem.code,
        "phase": refusal.phase.name if refusal.phase else "",
        "plugin": refusal.plugin,
        "reason": refusal.problem.reason,
    }
