"""The server put together, and what stops the start."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.plugin import OAuth2Server
from plugins.oauth2_server.server import build
from secureml import ConfigError
from secureml.state.signing import Schedule
from tests.oauth_app import PASSWORD, TABLE


def test_keys_must_outlive_what_they_sign(harness):
    harness.signing.schedule = Schedule(retire_after=60.0)
    with pytest.raises(ConfigError, match="outlive"):
        harness.build(OAuth2Server, TABLE)


def test_nothing_is_opened_by_building(harness):
    made = harness.build(OAuth2Server, TABLE)
    assert made._server.issuer == TABLE["issuer"]
    assert not (harness.folder / "secureml.db").exists()
    assert callable(build)


def test_whatever_came_of_a_password_is_ended_in_one_step(core):
    """Sessions, codes, devices and tokens; and nothing of anybody else."""
    core.server.users.add("bob", "acme", PASSWORD)
    ann, bob = core.browser(), core.browser()
    core.sign_in(browser=ann)
    core.sign_in(browser=bob, name="bob")
    pairs = {name: core.trade(core.code(browser)).json for name, browser in
             (("ann", ann), ("bob", bob))}  # fmt: skip
    codes = {"ann": core.code(ann), "bob": core.code(bob)}
    assert core.server.end_delegations("ann") == 1
    assert core.ask(pairs["ann"]["access_token"]).status_code == 401
    assert core.trade(codes["ann"]).json["error"] == "invalid_grant"
    assert 'value="sign-in"' in core.get(core.request(), ann).text
    assert core.ask(pairs["bob"]["access_token"]).status_code == 200
    assert core.trade(codes["bob"]).status_code == 200
    assert 'value="allow"' in core.get(core.request(), bob).text


def test_ending_what_is_not_there_ends_nothing(core):
    pair = core.pair()
    assert core.server.end_delegations("nobody") == 0
    assert core.server.end_delegations("") == 0
    assert core.ask(core.machine_token()["access_token"]).status_code == 200
    assert core.ask(pair["access_token"]).status_code == 200


def test_a_life_as_long_as_the_keys_is_not_too_long(harness):
    harness.signing.schedule = Schedule(retire_after=900.0)
    assert harness.build(OAuth2Server, {**TABLE, "access_lifetime": "15m"})
    with pytest.raises(ConfigError, match="outlive") as error:
        harness.build(OAuth2Server, {**TABLE, "access_lifetime": "901s"})
    assert error.value.key == "access_lifetime"
