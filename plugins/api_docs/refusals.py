"""The refusals of a route, from the catalogue: which statuses, and which codes with each.

Any request can meet the ones that Nginx, Gunicorn and the phases give; the rest depends on what
a route takes. A plugin's own code may come from any phase, so it defines every route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Protocol

MEDIA_TYPE = "application/problem+json"
_ALWAYS = frozenset({400, 403, 413, 414, 421, 429, 431, 500, 502, 503, 504})
_WITH_BODY = frozenset({401, 415, 422})  # a body may hold a credential, so 401
_HEADERS = {
    401: ("WWW-Authenticate", "How to authenticate.", "string"),
    405: ("Allow", "The methods of this path.", "string"),
    415: ("Accept-Encoding", "The codings of a body that are accepted.", "string"),
    429: ("Retry-After", "Seconds to wait.", "integer"),
    503: ("Retry-After", "Seconds to wait.", "integer"),
}


class Kind(Protocol):
    """A line of the catalogue."""

    @property
    def code(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def title(self) -> str: ...


def statuses(
    kinds: Iterable[Kind], *, guarded: bool, takes_body: bool, has_arguments: bool
) -> list[int]:
    """Return the statuses of refusal a route can give, in order."""
    found = _ALWAYS | {kind.status for kind in kinds if "." in kind.code}
    if guarded:
        found |= {401}
    if takes_body:
        found |= _WITH_BODY
    if has_arguments:
        found |= {404}
    return sorted(found)


def problem_shape() -> dict[str, Any]:
    """Return the body of every refusal (RFC 9457); without the plugin `errors`, code and id."""
    text = {"type": "string"}
    fault = {
        "type": "object",
        "required": ["path", "rule"],
        "properties": {
            "path": {**text, "description": "Where, as a JSON pointer (RFC 6901)."},
            "rule": {**text, "description": "The rule that was broken."},
        },
    }
    return {
        "type": "object",
        "required": ["code", "id"],
        "properties": {
            "type": {**text, "description": "urn:secureml:problem: and the code."},
            "title": text,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {**text, "description": "Stable: programs may rely on it."},
            "id": {**text, "description": "Identifies the line in the log."},
            "errors": {"type": "array", "maxItems": 20, "items": fault},
        },
    }


@cache
def responses(kinds: tuple[Kind, ...]) -> Mapping[str, Any]:
    """Return one response for each status of the catalogue, by `name_of`."""
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {name_of(status): _response(status, by_status[status]) for status in sorted(by_status)}


def name_of(status: int) -> str:
    """Return what a status's response is called."""
    return f"Refused{status}"


def _response(status: int, kinds: list[Kind]) -> Mapping[str, Any]:
    codes = {"properties": {"code": {"enum": [kind.code for kind in kinds]}}}
    shape = {"allOf": [{"$ref": "#/components/schemas/Problem"}, codes]}
    found: dict[str, Any] = {
        "description": ". ".join(dict.fromkeys(kind.title for kind in kinds)),
        "content": {MEDIA_TYPE: {"schema": shape}},
    }
    if status in _HEADERS:
        name, description, kind = _HEADERS[status]
        found["headers"] = {name: {"description": description, "schema": {"type": kind}}}
    return found
