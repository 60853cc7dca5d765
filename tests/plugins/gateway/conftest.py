"""A gateway of the tests: its keys, its certificate, its table, and requests through it."""

from __future__ import annotations

import pytest

from plugins.gateway.plugin import GatewayPlugin
from secureml import Problem
from secureml.testing import START, Harness
from tests.made_certificates import Authority
from tests.outside_issuer import EC, make_token, write_keys

HEADER = "X-Gateway-Identity"
GATEWAY = "https://gateway.example.org"
EDGE = {"address": "192.0.2.1", "scheme": "https", "host": "ml.example.org"}


def signing(**changed):
    """Return the table of a gateway that signs tokens; a change of None leaves a key out."""
    whole = {
        "name": "kong",
        "issuer": GATEWAY,
        "audience": ["ml"],
        "keys": "file:jwks.json",
        "clients": {"alice": "acme"},
        "scopes": ["predict"],
    }
    return {key: value for key, value in (whole | changed).items() if value is not None}


def certified(leaf, **changed):
    """Return the table of a gateway that shows a certificate."""
    whole = {
        "name": "envoy",
        "certificates": [leaf],
        "known_clients": True,
        "scopes": ["predict", "models:read"],
    }
    return {key: value for key, value in (whole | changed).items() if value is not None}


def gateway_token(key=EC, head=None, **changed):
    """Return what the gateway signs for alice, but for the changes."""
    words = {"iss": GATEWAY, "aud": "ml", "sub": "alice", "client_id": None, "scope": None}
    honest = {"typ": "JWT", "alg": "ES256", "kid": "ec-1"}
    return make_token(key, head or honest, **words | {"iat": START, "exp": START + 60} | changed)


class Gate:
    """The plugin of some tables, asked as the pipeline asks it."""

    def __init__(self, harness, *tables, **words):
        self.harness = harness
        self.plugin = harness.build(GatewayPlugin, {"gateways": list(tables), **words})

    def exchange(self, value, leaf=None, *, verify="SUCCESS", proven=True, **more):
        headers = {} if value is None else {HEADER: value}
        if leaf is not None:
            headers["X-SecureML-Client-Cert"] = leaf if isinstance(leaf, str) else leaf.header
            headers["X-SecureML-Client-Verify"] = verify
        words = {"method": "GET", "path": "/v1/models", **more}
        made = self.harness.exchange(headers=headers, **words)
        made.set_peer(**EDGE, proxy_verified=proven)
        return made

    def ask(self, value, leaf=None, **more):
        """Return the principal, or code and reason of the refusal and the events of it."""
        exchange = self.exchange(value, leaf, **more)
        try:
            self.plugin.admit(exchange)
            return self.plugin.identify(exchange)
        except Problem as refused:
            events = [event.name for event in exchange.events]
            return (refused.code, refused.reason.removeprefix("gateway."), events)


@pytest.fixture(scope="session")
def authority():
    """The authority of gateways."""
    return Authority(START)


@pytest.fixture(scope="session")
def leaf(authority):
    """The gateway's certificate."""
    return authority.sign("gateway.example.org")


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store, the client acme and the gateway's keys."""
    made = Harness(tmp_path)
    made.clients.add("acme", tier="gold", models=["iris"])
    write_keys(tmp_path, EC)
    yield made
    made.close()


@pytest.fixture
def gate(harness):
    """A gateway that signs tokens."""
    return Gate(harness, signing())
