"""Security headers: every answer is dressed, whatever its status, and a view keeps its word."""

from __future__ import annotations

import pytest
from flask import Blueprint, Response

from plugins.errors.plugin import Errors
from plugins.security_headers.plugin import SecurityHeaders
from secureml import ConfigError, Plugin, Problem, public
from secureml.pipeline.problems import CATALOGUE
from secureml.testing import Harness

EXPECTED = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "Strict-Transport-Security"


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def client_of(harness, table=None, *more):
    """Return a test client of an app dressed by the plugin."""
    views = Blueprint("test", __name__)

    @views.get("/refusing/<code>")
    @public()
    def refusing(code):
        raise Problem(code)

    @views.get("/page")
    @public()
    def page():
        return Response(
            "<p>",
            headers={"content-security-policy": "default-src 'self'", "Cache-Control": "private"},
        )

    @views.get("/broken")
    @public()
    def broken():
        raise ValueError

    plugins = [harness.load(SecurityHeaders, table), *(harness.load(cls) for cls in more)]
    return harness.app(plugins, [views]).test_client()


def check_dressed(answer):
    """Each header of the table once, as the table says."""
    for name, value in EXPECTED.items():
        assert answer.headers.getlist(name) == [value]


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_refusal_is_dressed(harness, code):
    """An error page is where a browser would be fooled most easily."""
    answer = client_of(harness).get(f"/refusing/{code}")

    assert answer.status_code == CATALOGUE[code].status
    check_dressed(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/broken", 500),
        ("GET", "/nowhere", 401),
        ("POST", "/healthz", 405),
        ("OPTIONS", "/healthz", 405),
    ],
)
def test_every_answer_is_dressed(harness, method, path, status):
    """Success, stranger, wrong method, fault of ours."""
    answer = client_of(harness, None, Errors).open(path, method=method)

    assert answer.status_code == status
    check_dressed(answer)


def test_an_answer_withheld_by_another_plugin_is_dressed_as_well(harness):
    """A RESPOND step that fails, and a vital record that does."""

    class Clumsy(Plugin):
        name = "clumsy"

        def respond(self, exchange, headers):
            raise ValueError

    class Ledger(Plugin):
        name = "ledger"
        vital = True

        def record(self, exchange):
            raise OSError

    for cls, status in ((Clumsy, 500), (Ledger, 503)):
        answer = client_of(harness, None, cls).get("/healthz")
        assert answer.status_code == status
        check_dressed(answer)


def test_a_view_keeps_its_own_word(harness):
    """A page with a policy of its own, in any letters, is not given a second one."""
    headers = client_of(harness).get("/page").headers

    assert headers.getlist("Content-Security-Policy") == ["default-src 'self'"]
    assert headers.getlist("Cache-Control") == ["private"]
    assert headers.getlist("X-Content-Type-Options") == ["nosniff"]


def test_strict_transport_security_is_sent_only_where_it_is_set(harness):
    """Two senders would send it twice."""
    assert HSTS not in client_of(harness).get("/healthz").headers
    assert HSTS not in client_of(harness, {"hsts_seconds": 0}).get("/healthz").headers

    dressed = client_of(harness, {"hsts_seconds": 63072000}).get("/healthz").headers
    assert dressed.getlist(HSTS) == ["max-age=63072000"]


@pytest.mark.parametrize("value", [-1, 10**10, "63072000", 1.5, True])
def test_a_time_that_is_none_stops_the_start(harness, value):
    """A whole number of seconds and nothing that looks like one."""
    with pytest.raises(ConfigError, match=r"\[plugins\.security_headers\] hsts_seconds"):
        harness.build(SecurityHeaders, {"hsts_seconds": value})
