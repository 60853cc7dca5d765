"""Errors: refusals worded as RFC 9457 problem details that tell attackers nothing.

A body is made of the catalogue's text, the request id and, for faulty input, paths and
rule names. No exception, value, path of ours or version has a way in.
"""

from __future__ import annotations

from typing import Any

from secureml import Exchange, Kind, Plugin, Problem


class Errors(Plugin):
    """Words every refusal the same way."""

    name = "errors"
    concern = "errors"

    def render(self, problem: Problem, kind: Kind, exchange: Exchange) -> dict[str, Any]:
        """Return the problem details object (RFC 9457, section 3.1)."""
        body: dict[str, Any] = {
            "type": f"urn:secureml:problem:{kind.code}",
            "title": kind.title,
            "status": kind.status,
            "code": kind.code,
            "id": exchange.id,
        }
        if problem.errors:
            body["errors"] = [{"path": path, "rule": rule} for path, rule in problem.errors]
        return body
