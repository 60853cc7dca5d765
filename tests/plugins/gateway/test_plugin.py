"""A gateway in its phases: its proof names a caller, and a header alone names nobody."""

from __future__ import annotations

import importlib
import json

import pytest

from plugins.gateway.plugin import GatewayPlugin
from plugins.gateway.signed_identity import body_digest
from secureml import Principal, StoreUnavailable
from secureml.kit.client_certificate import from_der
from secureml.testing import START
from tests.made_certificates import DAY, SERVER_AUTH, Authority
from tests.outside_issuer import EC, EC_OTHER, b64, forge, jwks, write_keys

from .conftest import GATEWAY, HEADER, Gate, certified, gateway_token, signing

FORGED = ["malicious_gateway_header"]


def thumbprint(minted):
    return from_der(minted.der).thumbprint


@pytest.fixture
def envoy(harness, leaf):
    """A gateway that shows a certificate."""
    return Gate(harness, certified(thumbprint(leaf)))


def test_without_its_header_a_caller_is_for_others_to_name(gate, envoy, leaf):
    for nothing in (None, ""):
        assert gate.ask(nothing) is None
        assert envoy.ask(nothing, leaf) is None


def test_a_token_of_the_gateway_names_our_client_within_its_scopes(gate):
    assert gate.ask(gateway_token()) == Principal(
        client="acme",
        subject="alice",
        scopes=frozenset({"predict"}),
        models=frozenset({"iris"}),
        tier="gold",
        method="gateway",
        credential="kong:t-1",
        expires=START + 60,
    )


def test_a_certificate_of_the_gateway_makes_its_header_count(envoy, leaf):
    named = envoy.ask("acme", leaf)
    assert (named.client, named.credential, named.method) == ("acme", "envoy", "gateway")
    assert named.expires == from_der(leaf.der).ends


@pytest.mark.parametrize(
    "value",
    ["acme", "alice", " ", "acme,acme", '"acme"', "acme\xe9", "a.b.c", "x" * 9000, "Bearer x"],
)
def test_attack_a_bare_header_is_refused_with_a_code_of_its_own_and_an_event(gate, value):
    assert gate.ask(value) == ("gateway.unproven", "no_proof", FORGED)


@pytest.mark.parametrize("path", ["/healthz", "/nowhere"])
def test_attack_a_bare_header_is_refused_on_every_route(gate, path):
    assert gate.ask("acme", path=path)[0] == "gateway.unproven"


def test_attack_a_certificate_in_headers_that_the_proven_nginx_did_not_write(envoy, leaf):
    """Not verified, of another hop, of nobody, damaged, expired, or for servers."""
    at = Authority(START)
    old = at.sign(days=(-9.0, -1.0))
    for shown, words in (
        (leaf, {"proven": False}),
        (leaf, {"verify": "FAILED:self signed certificate"}),
        (leaf, {"verify": "NONE"}),
        ("-----BEGIN CERTIFICATE-----", {}),
        (leaf.header + leaf.header, {}),
        (None, {}),
    ):
        assert envoy.ask("acme", shown, **words) == ("gateway.unproven", "no_proof", FORGED)
    for wrong in (at.sign("gateway.example.org"), at.sign(usage=SERVER_AUTH)):
        found = envoy.ask("acme", wrong)
        assert found == ("gateway.unproven", "certificate_unknown", FORGED)
    assert envoy.ask("acme", old) == ("gateway.unproven", "no_proof", FORGED)


def test_a_certificate_that_ends_while_the_server_runs_is_no_proof_any_more(harness, envoy, leaf):
    assert envoy.ask("acme", leaf).client == "acme"
    harness.clock.advance(91 * DAY)
    assert envoy.ask("acme", leaf)[0] == "gateway.unproven"


@pytest.mark.parametrize("value", ["acme,acme", "acme, eve", "ac me", "acm\xe9", '{"sub": "acme"}'])
def test_attack_two_headers_or_odd_letters_behind_a_proven_gateway(envoy, leaf, value):
    """Headers of one name arrive as one text with a comma: which is the gateway's, who knows."""
    assert envoy.ask(value, leaf) == ("gateway.unproven", "identity_malformed", FORGED)


def test_attack_an_underscore_in_place_of_a_hyphen_is_another_header(harness, gate):
    """Gunicorn and Nginx drop it; whoever would not, still brings a header without proof."""
    exchange = harness.exchange("GET", "/v1/models", headers={"X_Gateway_Identity": "acme"})
    refused = gate.ask("acme")
    assert exchange.request.environ.get("HTTP_X_GATEWAY_IDENTITY") == "acme"
    assert refused[0] == "gateway.unproven"


def test_attack_tokens_that_the_gateway_did_not_sign(gate):
    honest = gateway_token()
    head, body, signature = honest.split(".")
    claims = {"iss": GATEWAY, "aud": "ml", "sub": "alice", "iat": START, "exp": START + 60}
    public = str(jwks(EC)["keys"][0]).encode()
    unsigned = b64(json.dumps({"typ": "JWT", "alg": "none"}))
    for wrong, reason in (
        (gateway_token(EC_OTHER), "signature"),
        (f"{head}.{body}.{signature[::-1]}", "signature"),
        (gateway_token(EC_OTHER, {"typ": "JWT", "alg": "ES256", "kid": "ec-2"}), "key_unknown"),
        (forge({"typ": "JWT", "alg": "HS256", "kid": "ec-1"}, claims, public), "alg"),
        (f"{unsigned}.{body}.", "alg"),
    ):
        code, found, events = gate.ask(wrong)
        assert (code, found) == ("unauthorized", reason)
        assert bool(events) is (reason in ("signature", "key_unknown")), reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "other"}, "aud"),
        ({"exp": START - 60, "iat": START - 120}, "expired"),
        ({"iat": START - 400, "exp": START + 9999}, "too_old"),
        ({"iat": START + 999}, "iat"),
        ({"sub": None}, "sub"),
        ({"cnf": {"jkt": "x"}}, "binding"),
        ({"sub": "mallory"}, "client_unknown"),
    ],
)
def test_attack_a_signed_token_for_others_or_of_another_time(gate, changed, reason):
    assert gate.ask(gateway_token(**changed))[:2] == ("unauthorized", reason)


def test_attack_a_token_of_an_issuer_that_is_no_gateway(gate):
    found = gate.ask(gateway_token(iss="https://evil.example.org"))
    assert found == ("gateway.unproven", "issuer_unknown", FORGED)


def test_a_token_in_use_ends_with_its_time_and_with_its_client(harness, gate):
    token = gateway_token()
    assert gate.ask(token).client == "acme"
    harness.clients.set_enabled("acme", enabled=False)
    assert gate.ask(token)[:2] == ("unauthorized", "client_disabled")
    harness.clients.set_enabled("acme", enabled=True)
    assert gate.ask(token).client == "acme"
    harness.clock.advance(71)
    assert gate.ask(token)[:2] == ("unauthorized", "expired")


def test_a_key_that_the_gateway_withdrew_proves_nothing_more(harness, gate):
    token = gateway_token()
    assert gate.ask(token).client == "acme"
    write_keys(harness.folder, EC_OTHER)
    gate.plugin._gateways[0].tokens.jwks.refresh()
    assert gate.ask(token)[:2] == ("unauthorized", "key_unknown")


def test_an_identity_is_no_client_of_ours_unless_the_table_says_so(harness):
    assert Gate(harness, signing()).ask(gateway_token(sub="acme"))[1] == "client_unknown"
    both = Gate(harness, signing(known_clients=True))
    assert both.ask(gateway_token(sub="acme")).subject == "acme"
    assert both.ask(gateway_token(sub="alice")).client == "acme"


def test_a_gateway_with_both_proofs_needs_both(harness, leaf):
    gate = Gate(harness, signing(certificates=[thumbprint(leaf)]))
    assert gate.ask(gateway_token(), leaf).client == "acme"
    assert gate.ask(gateway_token())[:2] == ("gateway.unproven", "certificate_missing")
    assert gate.ask("alice", leaf)[:2] == ("gateway.unproven", "token_missing")


def test_attack_a_bound_token_taken_to_another_request(harness):
    gate = Gate(harness, signing(binds=["method", "path", "body"]))
    body = b'{"instances": [[1]]}'
    digest = body_digest(body)
    path = "/v1/models/iris/predict"
    token = gateway_token(htm="POST", path=f"{path}?a=1", body_sha256=digest)
    sent = {"method": "POST", "path": path, "query_string": "a=1", "data": body}
    assert gate.ask(token, **sent).client == "acme"
    for changed, reason in (
        ({"method": "PUT"}, "bound_method"),
        ({"query_string": "a=2"}, "bound_path"),
        ({"path": "/v1/models"}, "bound_path"),
        ({"data": body + b" "}, "bound_body"),
    ):
        found = gate.ask(token, **sent | changed)
        assert found == ("unauthorized", reason, FORGED)


def test_a_body_beyond_what_is_read_for_its_digest_is_refused(harness):
    gate = Gate(harness, signing(binds=["body"], most_body=10))
    found = gate.ask(gateway_token(body_sha256="x"), method="POST", data=b"0" * 11)
    assert found[0] == "body_too_large"


def test_keys_that_cannot_be_fetched_are_a_503_and_not_ready(harness):
    gate = Gate(harness, signing(keys="http://127.0.0.1:9/jwks.json"))
    assert gate.plugin.ready() == "gateway_keys_unreached"
    assert gate.ask(gateway_token())[:2] == ("unavailable", "KeysUnavailable")


def test_a_store_that_is_gone_is_a_503(harness, gate, monkeypatch):
    def gone():
        raise StoreUnavailable("gone")

    monkeypatch.setattr(gate.plugin._verified, "current", gone)
    assert gate.ask(gateway_token())[:2] == ("unavailable", "StoreUnavailable")


def test_what_was_verified_once_is_not_verified_again(harness, gate, envoy, leaf, monkeypatch):
    token = gateway_token()
    first = gate.ask(token), envoy.ask("acme", leaf)
    module = importlib.import_module("plugins.gateway.plugin")

    def never(*_words):
        raise AssertionError("it was verified before")

    monkeypatch.setattr(module, "verify", never)
    monkeypatch.setattr(module, "find_gateway", never)
    assert (gate.ask(token), envoy.ask("acme", leaf)) == first


def test_a_token_that_was_verified_with_a_certificate_is_unknown_without_it(harness, leaf):
    gate, token = Gate(harness, signing(certificates=[thumbprint(leaf)])), gateway_token()
    assert gate.ask(token, leaf).client == "acme"
    assert gate.ask(token) == ("gateway.unproven", "certificate_missing", FORGED)


def test_a_public_route_needs_no_store(harness, gate, monkeypatch):
    def gone():
        raise StoreUnavailable("gone")

    monkeypatch.setattr(gate.plugin._verified, "current", gone)
    gate.plugin.admit(gate.exchange(gateway_token(), path="/healthz"))


def test_the_gateways_that_can_name_a_client_are_its_credentials(harness, gate, envoy):
    (found,) = gate.plugin.credentials("acme")
    assert (found.id, found.method, found.scopes) == ("kong", "gateway", frozenset({"predict"}))
    assert gate.plugin.credentials("other") == []
    assert [each.id for each in envoy.plugin.credentials("other")] == ["envoy"]


def test_nginx_asks_for_certificates_only_where_a_gateway_shows_one(gate, envoy):
    assert gate.plugin.proxy_requirements is None
    assert envoy.plugin.proxy_requirements.client_authorities == "tls/gateways.crt"


def test_the_header_can_have_another_name(harness):
    gate = Gate(harness, signing(), header="X-Caller-Token")
    assert gate.ask("acme") is None
    assert gate.plugin.credential_header == "X-Caller-Token"
    assert GatewayPlugin.credential_header is None
    assert HEADER == "X-Gateway-Identity"
