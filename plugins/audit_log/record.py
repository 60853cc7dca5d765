"""What is written down of a request and of an event. No body, header, query string or secret.

Names are those of the OWASP Logging Vocabulary where it has one. Inputs are there as a keyed
digest: who holds the key can ask whether a row was asked about, nobody can read it out.
Every text is clipped, so that a record always fits in a line.
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Mapping
from typing import Any

ANSWERED, REFUSED, FAILED = "request_answered", "request_refused", "request_failed"
_BY_STATUS = {
    401: "authn_login_fail",
    403: "authz_fail",
    429: "excess_rate_limit_exceeded",
    **dict.fromkeys((400, 413, 414, 415, 422, 431), "input_validation_fail"),
}
# A character is twelve bytes at worst, so a record is below 100 KiB, whatever is in it.
_TEXT, _FACTS, _FACT, _OBSERVED = 256, 32, 128, 4
_rows = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def name_of(status: int) -> str:
    """Return what an answer with this status is called."""
    if status < 400:
        return ANSWERED
    return _BY_STATUS.get(status) or (REFUSED if status < 500 else FAILED)


def is_refused_or_failed(exchange: Any) -> bool:
    """Return whether a request was refused, would have been, or failed."""
    return bool(exchange.status >= 400 or exchange.refusal or exchange.observed)


def of_exchange(exchange: Any, inputs: bytes | None) -> dict[str, Any]:
    """Return the record of a finished request; ``inputs`` is the key of the digest, or None."""
    fields = {"event": name_of(exchange.status), **_origin(exchange)}
    fields |= {
        "method": _clip(exchange.request.method),
        "route": _clip(exchange.route),
        "status": exchange.status,
    }
    if exchange.refusal is not None:
        fields |= _refused(exchange.refusal)
    if exchange.model is not None:
        fields |= {"model": _clip(exchange.model.name), "version": _plain(exchange.model.version)}
    if exchange.row_count:
        fields["rows"] = exchange.row_count
    if inputs is not None and exchange.payload and "instances" in exchange.payload:
        fields["inputs"] = digest(inputs, exchange.payload["instances"])
    if exchange.observed:
        fields["observed"] = [_refused(each) for each in exchange.observed[:_OBSERVED]]
    return fields


def of_event(event: Any, exchange: Any = None) -> dict[str, Any]:
    """Return the record of something that happened, in a request or outside one."""
    fields: dict[str, Any] = {"event": event.name}
    if exchange is not None:
        fields |= _origin(exchange)
    fields["client"] = _clip(event.client)
    if event.facts:
        fields["facts"] = _facts(event.facts)
    return fields


def digest(key: bytes, instances: Any) -> str:
    """Return HMAC-SHA256 of rows as JSON with sorted names and no spaces, in hexadecimal."""
    return hmac.digest(key, _rows(instances).encode(), "sha256").hex()


def _origin(exchange: Any) -> dict[str, Any]:
    who = exchange.principal
    found = {"id": exchange.id, "address": _clip(exchange.client_address)}
    if exchange.foreign_id:
        found["foreign_id"] = _clip(exchange.foreign_id)
    found["client"] = _clip(who.client) if who else ""
    if who is None:
        return found
    if who.subject != who.client:
        found["subject"] = _clip(who.subject)
    return found | {"credential": _clip(who.credential), "auth": _clip(who.method)}


def _refused(refusal: Any) -> dict[str, str]:
    return {
        "code": _clip(refusal.problem.code),
        "phase": refusal.phase.name if refusal.phase else "",
        "plugin": _clip(refusal.plugin),
        "reason": _clip(refusal.problem.reason),
    }


def _facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {_clip(name, 64): _plain(value) for name, value in list(facts.items())[:_FACTS]}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value if value is None or abs(value) < 2**63 else _clip(hex(value), _FACT)
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _clip(str(value), _FACT)


def _clip(text: str, room: int = _TEXT) -> str:
    return text if len(text) <= room else text[: room - 1] + "\N{HORIZONTAL ELLIPSIS}"
