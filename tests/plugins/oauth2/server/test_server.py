"""The server put together, and what stops the start."""

from __future__ import annotations

import pytest

from plugins.oauth2.plugin import OAuth2
from plugins.oauth2.server.server import build
from secureml import ConfigError, StoreUnavailable
from secureml.state.signing import Schedule
from tests.oauth_app import TABLE
from tests.outside_issuer import EC, table, write_keys


def test_keys_must_outlive_what_they_sign(harness):
    harness.signing.schedule = Schedule(retire_after=60.0)
    with pytest.raises(ConfigError, match="outlive"):
        harness.build(OAuth2, {"server": TABLE})


def test_nothing_is_opened_by_building(harness):
    made = harness.build(OAuth2, {"server": TABLE})
    assert made._server.issuer == TABLE["issuer"]
    assert not (harness.folder / "secureml.db").exists()
    assert callable(build)


def test_an_issuer_has_one_owner(harness):
    write_keys(harness.folder, EC)
    outside = table(issuer=TABLE["issuer"])
    with pytest.raises(ConfigError, match="named like our own"):
        harness.build(OAuth2, {"issuers": [outside], "server": TABLE})


def test_a_plugin_with_nothing_to_do_stops_the_start(harness):
    with pytest.raises(ConfigError, match="nothing to do"):
        harness.build(OAuth2, {})


def test_it_is_not_ready_without_a_key(harness):
    plugin = harness.build(OAuth2, {"server": TABLE})
    assert plugin.ready() == "no_signing_key"
    harness.signing.rotate()
    assert plugin.ready() is None


def test_it_is_not_ready_without_the_store(harness, monkeypatch):
    plugin = harness.build(OAuth2, {"server": TABLE})

    def away():
        raise StoreUnavailable("away")

    monkeypatch.setattr(harness.signing, "active", away)
    assert plugin.ready() == "store_unavailable"


def test_a_token_that_lacks_a_right_is_told_which(core):
    text = core.machine_token(scope="predict")["access_token"]
    answer = core.ask(text)
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="secureml", error="insufficient_scope", scope="models:read"'
    )
