"""How a refusal reads at our endpoints: as RFC 6749 says it, or as a page for people.

The pipeline refuses, dresses and records as everywhere; only the words differ. What a client
reads is a code of the protocol and text of the catalogue, never what it sent.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

PREFIX = "oauth2_server."
JSON = "application/json"
HTML = "text/html; charset=utf-8"


class ErrorText(NamedTuple):
    """One error of the protocol: its status and what it means."""

    status: int
    title: str


# RFC 6749 (4.1.2.1, 5.2), RFC 8628 (3.5), RFC 9449 (5).
ERRORS = {
    "invalid_request": ErrorText(400, "The OAuth request is incomplete or malformed"),
    "invalid_client": ErrorText(401, "The OAuth client could not be authenticated"),
    "invalid_grant": ErrorText(400, "The code or token to trade does not hold"),
    "unauthorized_client": ErrorText(400, "This OAuth client may not use this grant"),
    "unsupported_grant_type": ErrorText(400, "There is no such grant"),
    "unsupported_response_type": ErrorText(400, "There is no such response type"),
    "invalid_scope": ErrorText(400, "The OAuth client does not hold a scope it asks for"),
    "access_denied": ErrorText(400, "The request was declined"),
    "authorization_pending": ErrorText(400, "Nobody has decided yet"),
    "slow_down": ErrorText(400, "Ask less often"),
    "expired_token": ErrorText(400, "The device code has expired"),
    "invalid_dpop_proof": ErrorText(400, "A proof of possession is missing or does not hold"),
}
# What only a person is told.
FOREIGN_FORM = ErrorText(403, "This form was not ours, or is too old")


def protocol(problem: Any, kind: Any, exchange: Any) -> tuple[str, str]:
    """Word a refusal as RFC 6749, section 5.2, has it; the status stays what it is."""
    error = kind.code.removeprefix(PREFIX)
    if error not in ERRORS:
        error = _nearest(kind.status)
    return json.dumps({"error": error, "error_description": kind.title, "id": exchange.id}), JSON


def _nearest(status: int) -> str:
    if status >= 500:
        return "temporarily_unavailable" if status == 503 else "server_error"
    return "temporarily_unavailable" if status == 429 else "invalid_request"
