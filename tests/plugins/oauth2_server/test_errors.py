"""Refusals in the words of RFC 6749, whoever refused."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from plugins.oauth2_server.errors import ERRORS, JSON, protocol
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


@pytest.mark.parametrize("word", sorted(ERRORS))
def test_every_word_is_of_a_standard_and_its_text_may_be_sent(word):
    """RFC 6749, 5.2: characters of an error description, and 400 or 401 as its status."""
    text = ERRORS[word]
    assert text.status == (401 if word == "invalid_client" else 400)
    assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", text.title)
    assert re.fullmatch(r"[a-z_]+", word)


@pytest.mark.parametrize("status", range(400, 600, 7))
def test_no_status_is_left_without_a_word(status):
    body, _ = protocol(None, Kind("something.else", status, "Why"), SimpleNamespace(id="1"))
    error = json.loads(body)["error"]
    assert error in (*ERRORS, "temporarily_unavailable", "server_error")
    assert (error in ("server_error", "temporarily_unavailable")) is (status >= 500)


@pytest.mark.parametrize("title", ['"', "\\", "<script>", "é", "\n"])
def test_a_text_with_marks_in_it_is_still_one_json_string(title):
    body, _ = protocol(None, Kind("x", 400, title), SimpleNamespace(id='"'))
    assert json.loads(body) == {"error": "invalid_request", "error_description": title, "id": '"'}


def test_the_words_of_the_four_standards_are_all_there():
    """RFC 6749 (5.2, 4.1.2.1), RFC 8628 (3.5), RFC 9449 (5)."""
    assert set(ERRORS) >= {
        "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
        "unsupported_grant_type", "invalid_scope", "access_denied", "unsupported_response_type",
        "authorization_pending", "slow_down", "expired_token", "invalid_dpop_proof",
    }  # fmt: skip
