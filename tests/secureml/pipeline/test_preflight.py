"""A browser's preflight: what makes one, and what it is told."""

from __future__ import annotations

import pytest

from secureml.pipeline import preflight

ASKED = {
    "REQUEST_METHOD": "OPTIONS",
    "HTTP_ORIGIN": "https://app.example.org",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST",
}


def test_all_three_make_a_preflight():
    assert preflight.asks(ASKED)


@pytest.mark.parametrize("missing", ["HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD"])
def test_without_one_of_them_it_is_a_request_like_any_other(missing):
    assert not preflight.asks({name: value for name, value in ASKED.items() if name != missing})


@pytest.mark.parametrize("method", ["GET", "POST", "options"])
def test_another_method_is_no_preflight(method):
    assert not preflight.asks(ASKED | {"REQUEST_METHOD": method})


def test_what_it_is_told_is_in_order_and_without_options():
    assert preflight.headers({"POST", "OPTIONS", "GET"}, {"X-API-Key", "Content-Type"}) == {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Content-Type, X-API-Key",
        "Access-Control-Max-Age": "600",
    }
