"""Refusals as this protocol's clients read them: problem details with one member more.

Triton's and MLServer's clients show what is in `error` and fail without it. RFC 9457 (3.2) lets a
problem have members of its own, so codes and the rest stay those of every refusal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

MEDIA_TYPE = "application/problem+json"
_FAULTS_IN_TEXT = 3


class Kind(Protocol):
    """A line of the catalogue."""

    @property
    def code(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def title(self) -> str: ...


def words_of(kind: Kind, errors: Sequence[tuple[str, str]], request_id: str) -> str:
    """Return a refusal in one line: title, code, the first places, and the id of the log."""
    places = "".join(f"; {path} {rule}" for path, rule in errors[:_FAULTS_IN_TEXT])
    return f"{kind.title} ({kind.code}){places}; id {request_id}"


def worded(kind: Kind, errors: Sequence[tuple[str, str]], request_id: str) -> tuple[str, str]:
    """Return the body of a refusal and its media type."""
    body = {
        "type": f"urn:secureml:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "id": request_id,
        "error": words_of(kind, errors, request_id),
    }
    if errors:
        body["errors"] = [{"path": path, "rule": rule} for path, rule in errors]
    return json.dumps(body), MEDIA_TYPE
