"""Attack: a client that speaks as if it were the proxy, to be somebody else or to skip TLS.

Through the whole pipeline: what later phases and the log believe is the socket's truth.
"""

from __future__ import annotations

import json

import pytest
from flask import Blueprint, g
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from plugins.access_log.plugin import AccessLog
from plugins.transport.plugin import Transport
from secureml import public
from secureml.testing import Harness

TOKEN = "0123456789abcdef-edge"
STRANGER = "203.0.113.9"
BEHIND = {"trusted": ["unix", "10.0.0.0/8"], "hosts": ["ml.example.org", "::1"]}
DIRECT = {"hosts": ["ml.example.org"], "direct": True}
CLAIMS = {
    "HTTP_X_FORWARDED_FOR": "10.0.0.1",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "ml.example.org",
    "HTTP_X_FORWARDED_PORT": "443",
    "HTTP_X_FORWARDED_PREFIX": "/admin",
    "HTTP_X_REAL_IP": "10.0.0.1",
    "HTTP_X_CLIENT_IP": "10.0.0.1",
    "HTTP_TRUE_CLIENT_IP": "10.0.0.1",
    "HTTP_CF_CONNECTING_IP": "10.0.0.1",
    "HTTP_FORWARDED": "for=10.0.0.1;proto=https;host=ml.example.org",
    "HTTP_X_FORWARDED_SSL": "on",
    "HTTP_X_SCHEME": "https",
    "HTTP_FRONT_END_HTTPS": "on",
    "HTTP_X_REQUEST_ID": "forged-id",
    "HTTP_X_SECUREML_EDGE": TOKEN,
    "HTTP_SCRIPT_NAME": "/v1",
}


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


@pytest.fixture
def ask(harness):
    """Return a function that sends one raw request to a server with this transport table."""
    log = harness.load(AccessLog)
    views = Blueprint("test", __name__)

    @views.get("/whoami")
    @public()
    def whoami():
        exchange = g.exchange
        return {
            "address": exchange.client_address,
            "scheme": exchange.scheme,
            "host": exchange.host,
            "foreign_id": exchange.foreign_id,
        }

    def send(table, environ):
        app = harness.app([harness.load(Transport, table), log], [views])
        plain = EnvironBuilder(path="/whoami").get_environ()
        body, status, _ = run_wsgi_app(app, plain | environ)
        return int(status[:3]), json.loads(b"".join(body))

    yield send
    log.plugin.close()


def logged(harness):
    """Return the last line of the log."""
    return json.loads((harness.folder / "logs/access.log").read_text().splitlines()[-1])


def socket(address, scheme="http"):
    """Return what a connection of our own Gunicorn says of itself."""
    return {"REMOTE_ADDR": address, "wsgi.url_scheme": scheme, "HTTP_HOST": "ml.example.org"}


def test_the_proxy_itself_is_believed(ask, harness):
    """So that the refusals below are of the claim and not of everyone."""
    status, said = ask(
        BEHIND,
        socket("10.0.0.5")
        | {
            "HTTP_X_FORWARDED_FOR": "192.0.2.7",
            "HTTP_X_FORWARDED_PROTO": "https",
            "HTTP_X_REQUEST_ID": "abc",
        },
    )

    assert (status, said) == (
        200,
        {"address": "192.0.2.7", "scheme": "https", "host": "ml.example.org", "foreign_id": "abc"},
    )
    assert (logged(harness)["address"], logged(harness)["foreign_id"]) == ("192.0.2.7", "abc")


def test_a_client_on_plain_http_does_not_become_secure_by_saying_so(ask):
    """Every name by which a proxy ever said https."""
    status, said = ask(BEHIND, socket(STRANGER) | CLAIMS)

    assert (status, said["code"]) == (403, "insecure_transport")


def test_a_client_that_goes_around_the_proxy_is_refused_even_over_tls(ask):
    """It would go around the proxy's limits as well."""
    status, said = ask(BEHIND, socket(STRANGER, "https") | CLAIMS)

    assert (status, said["code"]) == (403, "forbidden")


def test_a_direct_client_keeps_its_own_address_and_gets_no_foreign_id(ask, harness):
    """A limit or a ban cannot be shaken off with a header."""
    status, said = ask(DIRECT, socket(STRANGER, "https") | CLAIMS)

    assert (status, said) == (
        200,
        {"address": STRANGER, "scheme": "https", "host": "ml.example.org", "foreign_id": ""},
    )
    assert (logged(harness)["address"], logged(harness)["foreign_id"]) == (STRANGER, "")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    st.dictionaries(
        st.sampled_from([name for name in CLAIMS if name != "HTTP_HOST"]),
        st.sampled_from([*CLAIMS.values(), "192.0.2.1", "::1", "unix", "127.0.0.1"])
        | st.text(st.characters(max_codepoint=255), max_size=40),
    )
)
def test_no_set_of_forged_headers_changes_a_strangers_address(ask, forged):
    """Behind a proxy it is refused, over our own TLS it is itself."""
    assert ask(BEHIND, socket(STRANGER) | forged)[0] == 403
    assert ask(DIRECT, socket(STRANGER, "https") | forged)[1]["address"] == STRANGER


def test_a_client_that_slips_its_own_address_through_the_proxy_is_refused(ask):
    """An appending proxy would hand on `forged, real`; ours overwrites, so a list is forged."""
    for claim in ("10.0.0.1, 192.0.2.7", "192.0.2.7,10.0.0.1", "10.0.0.1,", ",10.0.0.1"):
        status, said = ask(
            BEHIND,
            socket("10.0.0.5") | {"HTTP_X_FORWARDED_FOR": claim, "HTTP_X_FORWARDED_PROTO": "https"},
        )
        assert (status, said["code"]) == (400, "malformed_request")


def test_one_client_cannot_be_many_by_the_spelling_of_its_address(ask):
    """Each spelling would have a limit of its own."""
    same = {"192.0.2.7", "::ffff:192.0.2.7", "::FFFF:C000:207", "0:0:0:0:0:ffff:192.0.2.7"}
    found = {
        ask(
            BEHIND,
            socket("10.0.0.5") | {"HTTP_X_FORWARDED_FOR": claim, "HTTP_X_FORWARDED_PROTO": "https"},
        )[1]["address"]
        for claim in same
    }
    assert found == {"192.0.2.7"}

    for zone in ("fe80::1%1", "fe80::1%2", "fe80::1%\n{}"):
        status, _ = ask(
            BEHIND,
            socket("10.0.0.5") | {"HTTP_X_FORWARDED_FOR": zone, "HTTP_X_FORWARDED_PROTO": "https"},
        )
        assert status == 400


def test_a_forged_host_is_misdirected_whoever_brings_it(ask):
    """Also where X-Forwarded-Host names the right one: nobody reads that."""
    for peer in ("", "10.0.0.5", STRANGER):
        for host in ("evil.example", "", "ml.example.org.evil.example", "ml.example.org, x"):
            status, said = ask(BEHIND, socket(peer) | CLAIMS | {"HTTP_HOST": host})
            assert (status, said["code"]) == (421, "misdirected_request")


def test_a_leaked_edge_token_does_not_make_a_proxy(ask, monkeypatch):
    """The peer must be on the list too; and being on the list is not enough without it."""
    monkeypatch.setenv("EDGE_TOKEN", TOKEN)
    table = {**BEHIND, "edge_token": "env:EDGE_TOKEN"}
    without = {name: value for name, value in CLAIMS.items() if name != "HTTP_X_SECUREML_EDGE"}

    assert ask(table, socket("10.0.0.5") | CLAIMS)[0] == 200
    assert ask(table, socket("") | CLAIMS)[0] == 200
    assert ask(table, socket(STRANGER) | CLAIMS)[1]["code"] == "insecure_transport"
    for peer in ("10.0.0.5", ""):
        assert ask(table, socket(peer) | without)[1]["code"] == "forbidden"


def test_a_forged_path_prefix_moves_no_route(ask):
    """SCRIPT_NAME as a header is a header."""
    status, _ = ask(DIRECT, socket(STRANGER, "https") | CLAIMS | {"PATH_INFO": "/v1/whoami"})

    assert status == 401  # unknown path, unknown caller
