"""Attack: be somebody by their certificate, which is public, without the key that is not.

Through the whole pipeline, with the real transport before it. What happens in the handshake and
on the way through Nginx stands in tests/live/test_client_certificates.py.
"""

from __future__ import annotations

import json

import pytest
from made_certificates import DAY, SERVER_AUTH, Authority, self_signed
from werkzeug.test import EnvironBuilder, run_wsgi_app

from plugins.api_keys.plugin import ApiKeys
from plugins.client_certificates.plugin import ClientCertificates
from plugins.errors.plugin import Errors
from plugins.scopes.plugin import Scopes
from plugins.transport.plugin import Transport
from secureml.kit.client_certificate import from_der
from secureml.testing import START, Harness

TOKEN = "0123456789abcdef-edge"
EDGE = {"HTTP_X_SECUREML_EDGE": TOKEN, "HTTP_X_FORWARDED_FOR": "192.0.2.7",
        "HTTP_X_FORWARDED_PROTO": "https", "HTTP_HOST": "ml.example.org"}  # fmt: skip
TABLE = {"trusted": ["unix"], "hosts": ["ml.example.org"], "direct": True,
         "edge_token": "env:EDGE_TOKEN"}  # fmt: skip
SAID = "HTTP_X_SECUREML_CLIENT_CERT"
VERIFY = "HTTP_X_SECUREML_CLIENT_VERIFY"


class Site:
    """An application with two clients of a certificate each; one has a key as well."""

    def __init__(self, folder):
        self.harness = Harness(folder)
        loaded = [
            self.harness.load(Transport, TABLE),
            *map(self.harness.load, (ApiKeys, ClientCertificates, Scopes, Errors)),
        ]
        plugins = {each.name: each.plugin for each in loaded}
        self.bindings = plugins["client_certificates"]._bindings
        self.authority = Authority(START)
        self.leaf, self.other = self.authority.sign(), self.authority.sign()
        for client, minted in (("acme", self.leaf), ("other", self.other)):
            self.harness.clients.add(client)
            self.bindings.bind_leaf(client, from_der(minted.der))
        self.key = plugins["api_keys"]._keyring.issue("acme", lifetime=DAY)[0].text
        self.app = self.harness.app(loaded, new_id=lambda: "0" * 32)

    def ask(self, environ, path="/v1/models"):
        """Return status, code and the whole answer to one raw request."""
        plain = EnvironBuilder(path=path).get_environ()
        body, status, headers = run_wsgi_app(self.app, plain | {"REMOTE_ADDR": ""} | environ)
        whole = b"".join(body)
        return int(status[:3]), json.loads(whole).get("code"), (whole, sorted(headers))

    def shown(self, minted, verify="SUCCESS", **more):
        """Return what our own Nginx says of a certificate."""
        text = minted if isinstance(minted, str) else minted.header
        return self.ask({**EDGE, SAID: text, VERIFY: verify, **more})


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_TOKEN", TOKEN)
    made = Site(tmp_path)
    yield made
    made.harness.store.close()


def test_the_certificate_opens_when_it_comes_from_the_edge(site):
    """So that the refusals below are of the claim and not of everyone."""
    assert site.shown(site.leaf)[0] == 200


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/nowhere"])
def test_a_client_that_speaks_tls_to_us_directly_brings_no_certificate_in_a_header(site, path):
    """Also with the edge token, which somebody else may have leaked, and on a public route."""
    direct = {"REMOTE_ADDR": "203.0.113.9", "wsgi.url_scheme": "https"}
    claim = {**EDGE, SAID: site.leaf.header, VERIFY: "SUCCESS"}
    assert site.ask(claim | direct, path)[:2] == (403, "forbidden")
    assert site.ask({**EDGE, **direct, VERIFY: "SUCCESS"}, path)[:2] == (403, "forbidden")
    assert site.ask(claim | direct | {"HTTP_X_API_KEY": site.key})[:2] == (403, "forbidden")
    assert site.ask({**EDGE, **direct, "HTTP_X_API_KEY": site.key})[0] == 200


def test_whoever_opens_the_socket_without_the_token_is_no_edge(site):
    for token in ("", "a guess", TOKEN[:-1]):
        claim = {**EDGE, SAID: site.leaf.header, VERIFY: "SUCCESS", "HTTP_X_SECUREML_EDGE": token}
        assert site.ask(claim)[:2] == (403, "forbidden")


def test_every_miss_is_one_answer_to_the_byte(site):
    """Nothing can be learned by trying: neither which are bound, nor which were."""
    ended = site.authority.sign()
    site.bindings.end(site.bindings.bind_leaf("acme", from_der(ended.der)).id)
    old = Authority(START).sign(days=(-9, 9))
    site.harness.clients.add("out")
    site.harness.clients.set_enabled("out", enabled=False)
    disabled = site.authority.sign()
    site.bindings.bind_leaf("out", from_der(disabled.der))
    misses = [
        site.shown(each)
        for each in (
            "x", "%", "%00" * 50, "A" * 20_000, f"{site.leaf.header},{site.leaf.header}",
            site.leaf.header[:-9], ended, disabled, old, self_signed(START),
            site.authority.sign(), site.authority.sign(key=site.leaf.key),
            site.authority.sign(usage=SERVER_AUTH), site.authority.sign(days=(1, 2)),
        )
    ]  # fmt: skip
    misses += [
        site.shown(site.leaf, verify)
        for verify in ("", "NONE", "FAILED:self-signed certificate", "SUCCESS,SUCCESS", "success")
    ]
    nothing = site.ask(EDGE)
    assert nothing[:2] == (401, "unauthorized")
    assert [each for each in misses if each != nothing] == []


def test_a_key_does_not_cover_for_a_bad_certificate(site):
    """Whoever shows a certificate that is nobody's shows a key that may be stolen."""
    assert site.shown(site.leaf, HTTP_X_API_KEY=site.key)[0] == 200
    assert site.shown(site.authority.sign(), HTTP_X_API_KEY=site.key)[:2] == (401, "unauthorized")
    two = site.shown(site.other, HTTP_X_API_KEY=site.key)
    assert two[:2] == (400, "malformed_request")


def test_a_certificate_does_not_cover_for_a_bad_key(site):
    assert site.shown(site.leaf, HTTP_X_API_KEY="sml_guess")[:2] == (401, "unauthorized")


def test_a_certificate_that_is_remembered_still_ends_in_time(site):
    """Expiry is asked at each request, of one that is remembered as well."""
    assert site.shown(site.leaf)[0] == 200
    site.harness.clock.advance(90 * DAY + 1)
    assert site.shown(site.leaf)[:2] == (401, "unauthorized")


@pytest.mark.parametrize(
    "header",
    ["HTTP_CLIENT_CERT", "HTTP_X_CLIENT_CERT", "HTTP_X_SSL_CLIENT_CERT", "HTTP_SSL_CLIENT_CERT",
     "HTTP_X_FORWARDED_TLS_CLIENT_CERT", "HTTP_X_FORWARDED_CLIENT_CERT", "SSL_CLIENT_CERT"],
)  # fmt: skip
def test_no_other_name_is_ever_read(site, header):
    said = {**EDGE, header: site.leaf.header, VERIFY: "SUCCESS"}
    assert site.ask(said)[:2] == (401, "unauthorized")
