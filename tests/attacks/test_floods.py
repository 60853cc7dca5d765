"""Strangers in numbers: what stands behind an open phase costs them what it costs a client."""

from __future__ import annotations

import pytest
from oauth_app import OAuthApp

from plugins.oauth2_server.passwords import Passwords
from plugins.rate_limit.plugin import RateLimit
from secureml import Plugin


class Peer(Plugin):
    """Says where requests come from, as `transport` does."""

    name = "peer"
    address = "192.0.2.66"

    def admit(self, exchange):
        exchange.set_peer(address=self.address, scheme="https", host="ml.example.org")


@pytest.fixture
def core(tmp_path, monkeypatch):
    """An authorization server behind the limiter; each slow hash leaves a mark."""
    found = OAuthApp(tmp_path, more=(Peer, RateLimit))
    found.hashes, kept = [], Passwords._matches

    def matches(self, text, hashed):
        found.hashes.append(text)
        return kept(self, text, hashed)

    monkeypatch.setattr(Passwords, "_matches", matches)
    (limiter,) = [
        loaded.plugin for loaded in found.app.pipeline.plugins if loaded.name == "rate_limit"
    ]
    found.limiter = limiter
    yield found
    limiter.close()
    found.close()


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"])
def test_a_banned_address_does_not_reach_the_slow_hash_of_a_form(core, path):
    """The ban is looked at before the form is read."""
    wrong = (core.machine, f"scs_{'w' * 43}")  # of the shape of one: others cost no hash
    core.post(path, wrong, grant_type="client_credentials", token="t")
    assert len(core.hashes) == 1, "the hash is there, or this test would show nothing"

    core.limiter._bans.add(f"address:{Peer.address}", "by the test")
    answers = [core.post(path, wrong, grant_type="client_credentials") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {429}
    assert len(core.hashes) == 1
    assert core.http.get("/healthz").status_code == 200
