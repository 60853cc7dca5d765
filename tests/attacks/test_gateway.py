"""Attack: be somebody by a header that only a gateway may write.

Through the whole pipeline, with the real transport before it. What happens on the way through a
real HAProxy, Caddy, Envoy and Nginx is in tests/live/test_gateways.py.
"""

from __future__ import annotations

import json
import logging

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from plugins.access_log.plugin import AccessLog
from plugins.api_keys.plugin import ApiKeys
from plugins.errors.plugin import Errors
from plugins.gateway.plugin import GatewayPlugin
from plugins.scopes.plugin import Scopes
from plugins.transport.plugin import Transport
from secureml.kit.client_certificate import thumbprint
from secureml.testing import START, Harness
from tests.made_certificates import DAY, Authority
from tests.outside_issuer import EC, EC_OTHER, make_token, write_keys

TOKEN = "0123456789abcdef-edge"
EDGE = {"HTTP_X_SECUREML_EDGE": TOKEN, "HTTP_X_FORWARDED_FOR": "192.0.2.7",
        "HTTP_X_FORWARDED_PROTO": "https", "HTTP_HOST": "ml.example.org"}  # fmt: skip
DIRECT = {"REMOTE_ADDR": "203.0.113.9", "wsgi.url_scheme": "https", "HTTP_HOST": "ml.example.org"}
TABLE = {"trusted": ["unix"], "hosts": ["ml.example.org"], "direct": True,
         "edge_token": "env:EDGE_TOKEN"}  # fmt: skip
HEADER = "HTTP_X_GATEWAY_IDENTITY"
CERTIFICATE, VERIFY = "HTTP_X_SECUREML_CLIENT_CERT", "HTTP_X_SECUREML_CLIENT_VERIFY"
ISSUER = "https://gateway.example.org"


def token(key=EC, **changed):
    """Return what the gateway signs for alice, but for the changes."""
    words = {"iss": ISSUER, "aud": "ml", "sub": "alice", "client_id": None, "scope": None}
    head = {"typ": "JWT", "alg": "ES256", "kid": "ec-1"}
    return make_token(key, head, **words | {"exp": START + 60} | changed)


class Site:
    """An application behind two gateways, one by its token and one by its certificate."""

    def __init__(self, folder):
        self.harness = Harness(folder)
        self.leaf = Authority(START).sign("envoy.internal")
        write_keys(folder, EC)
        shared = {"clients": {"alice": "acme"}, "scopes": ["models:read"]}
        signing = {"name": "signing", "issuer": ISSUER, "audience": ["ml"]}
        shown = {"name": "envoy", "certificates": [thumbprint(self.leaf.der)], **shared}
        gateways = [signing | shared | {"keys": "file:jwks.json"}, shown]
        self.log = folder / "access.log"
        loaded = [
            self.harness.load(Transport, TABLE),
            self.harness.load(ApiKeys),
            self.harness.load(GatewayPlugin, {"gateways": gateways}),
            self.harness.load(Scopes),
            self.harness.load(Errors),
            self.harness.load(AccessLog, {"file": "access.log"}),
        ]
        self.harness.clients.add("acme")
        keyring = next(item.plugin for item in loaded if item.name == "api_keys")._keyring
        self.key = keyring.issue("acme", lifetime=DAY)[0].text
        self.app = self.harness.app(loaded, new_id=lambda: "0" * 32)

    def ask(self, environ, path="/v1/models"):
        """Return status and code of the answer to one raw request."""
        plain = EnvironBuilder(path=path).get_environ()
        body, status, _headers = run_wsgi_app(self.app, plain | {"REMOTE_ADDR": ""} | environ)
        return int(status[:3]), json.loads(b"".join(body)).get("code")

    def shown(self, **more):
        """Return what our own Nginx says of the gateway's certificate."""
        return {**EDGE, CERTIFICATE: self.leaf.header, VERIFY: "SUCCESS", **more}


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_TOKEN", TOKEN)
    made = Site(tmp_path)
    yield made
    made.harness.close()


def test_both_proofs_open_so_that_the_refusals_below_are_of_the_claim(site):
    assert site.ask(EDGE | {HEADER: token()}) == (200, None)
    assert site.ask(site.shown(**{HEADER: "alice"})) == (200, None)


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/readyz", "/nowhere"])
@pytest.mark.parametrize(
    "value", ["alice", "acme", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.", "alice,alice", "\xe4cme"]
)
def test_a_bare_header_is_refused_on_every_route(site, path, value):
    """Through Nginx, straight to our own TLS, and beside a good key."""
    for way in (EDGE, DIRECT, EDGE | {"HTTP_X_API_KEY": site.key}):
        assert site.ask(way | {HEADER: value}, path) == (403, "gateway.unproven")


def test_a_certificate_in_a_header_is_no_proof_unless_our_nginx_wrote_it(site):
    claimed = {HEADER: "alice", CERTIFICATE: site.leaf.header, VERIFY: "SUCCESS"}
    assert site.ask(DIRECT | claimed) == (403, "gateway.unproven")
    for said in ("NONE", "FAILED:self signed certificate", "success", "SUCCESS "):
        assert site.ask(site.shown(**{HEADER: "alice", VERIFY: said}))[0] == 403


def test_a_wrong_edge_token_ends_before_any_proof_is_looked_at(site):
    claimed = site.shown(**{HEADER: "alice", "HTTP_X_SECUREML_EDGE": "guessed"})
    assert site.ask(claimed) == (403, "forbidden")


def test_a_good_key_beside_a_proven_identity_is_two_callers(site):
    for proven in (EDGE | {HEADER: token()}, site.shown(**{HEADER: "alice"})):
        both = proven | {"HTTP_X_API_KEY": site.key}
        assert site.ask(both) == (400, "malformed_request")


def test_a_forged_token_is_refused_like_a_wrong_key(site):
    for wrong in (token(EC_OTHER), token(aud="other"), token(sub="eve"), token(exp=START - 60)):
        assert site.ask(EDGE | {HEADER: wrong}) == (401, "unauthorized")


def test_rights_are_those_of_the_gateway_even_if_the_client_has_more(site):
    predict = site.ask(EDGE | {HEADER: token(), "REQUEST_METHOD": "POST"}, "/v1/models/m/predict")
    assert predict == (403, "forbidden")


def test_a_forged_name_is_in_no_log(site, caplog):
    with caplog.at_level(logging.DEBUG):
        for value in ("mallory-the-forger", token(EC_OTHER, sub="mallory-the-forger")):
            site.ask(EDGE | {HEADER: value})
    written = site.log.read_text("utf-8") + caplog.text
    assert "malicious_gateway_header" in written
    assert "mallory" not in written
    assert token(EC_OTHER, sub="mallory-the-forger") not in written
