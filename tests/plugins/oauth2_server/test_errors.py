"""Refusals in the words of RFC 6749, whoever refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from plugins.oauth2_server.errors import JSON, protocol
from secureml import Kind


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("oauth2_server.invalid_grant", 400, "invalid_grant"),
        ("oauth2_server.slow_down", 400, "slow_down"),
        ("oauth2_server.unheard_of", 400, "invalid_request"),
        ("body_too_large", 413, "invalid_request"),
        ("rate_limited", 429, "temporarily_unavailable"),
        ("unavailable", 503, "temporarily_unavailable"),
        ("internal_error", 500, "server_error"),
    ],
)
def test_every_refusal_has_a_word_of_the_protocol(code, status, error):
    body, media_type = protocol(None, Kind(code, status, "Why"), SimpleNamespace(id="1"))
    assert json.loads(body) == {"error": error, "error_description": "Why", "id": "1"}
    assert media_type == JSON
