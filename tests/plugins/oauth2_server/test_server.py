"""The server put together, and what stops the start."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.plugin import OAuth2Server
from plugins.oauth2_server.server import build
from secureml import ConfigError
from secureml.state.signing import Schedule
from tests.oauth_app import TABLE


def test_keys_must_outlive_what_they_sign(harness):
    harness.signing.schedule = Schedule(retire_after=60.0)
    with pytest.raises(ConfigError, match="outlive"):
        harness.build(OAuth2Server, TABLE)


def test_nothing_is_opened_by_building(harness):
    made = harness.build(OAuth2Server, TABLE)
    assert made._server.issuer == TABLE["issuer"]
    assert not (harness.folder / "secureml.db").exists()
    assert callable(build)
