"""What an operator types."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

LIMITS = """
[[plugins.rate_limit.limits]]
for = "client"
allow = "5 per minute"
strategy = "fixed-window"
[[plugins.rate_limit.limits]]
for = "tier:gold"
allow = "50 per minute"
[[plugins.rate_limit.limits]]
for = "client"
allow = "1000 ever"
model = "*"
[[plugins.rate_limit.limits]]
for = "everyone"
allow = "4 at once"
"""


@pytest.fixture
def site(fresh_instance, type_command):
    """An instance with two clients, and a function that types a command there."""
    with (fresh_instance / "secureml.toml").open("a") as file:
        file.write(LIMITS)

    def run(*words, code=0):
        said = type_command(*words, "--instance", fresh_instance, "--json")
        assert said.code == code, said.err
        return json.loads(said.out if code == 0 else said.err)

    run("clients", "add", "acme")
    run("clients", "add", "rich", "--tier", "gold")
    return fresh_instance, run


def plugin_of(folder):
    from secureml.core import build_core

    core = build_core(folder)
    return core, next(one.plugin for one in core.plugins if one.name == "rate_limit")


def spend(folder, times):
    """Let acme make requests."""
    from plugins.rate_limit.enforcer import LimitExceeded, RequestState
    from plugins.rate_limit.rules import RequestFacts

    core, plugin = plugin_of(folder)
    plan = plugin._enforcer.plan(RequestFacts("", "acme", "standard", "", ""), authenticated=True)
    for _ in range(times):
        with suppress(LimitExceeded):
            plugin._enforcer.charge(RequestState(), plan.requests, 1)
    plugin.close()
    core.store.close()


@pytest.mark.parametrize("command", ["rate-limit", "limits"])
def test_explain_shows_every_limit_its_source_and_what_is_left(site, command):
    folder, run = site
    spend(folder, 2)
    found = {row["name"]: row for row in run(command, "explain", "acme")["limits"]}
    assert found["client"]["remaining"] == 3
    assert found["client"]["source"] == "[[plugins.rate_limit.limits]] 1"
    assert found["everyone-at-once"]["remaining"] == 4
    assert found["client-2"]["allow"] == "1000 ever"
    assert "tier" not in found


def test_explain_says_when_there_is_more_and_takes_nothing(site):
    folder, run = site
    spend(folder, 9)
    for _ in range(3):
        row = next(r for r in run("limits", "explain", "acme")["limits"] if r["name"] == "client")
        assert row["remaining"] == 0
        assert 50 <= row["retry_after"] <= 61


def test_explain_knows_tiers_models_and_addresses(site):
    _, run = site
    words = ("--model", "iris", "--address", "192.0.2.1")
    found = {row["name"]: row for row in run("limits", "explain", "rich", *words)["limits"]}
    assert found["tier"]["remaining"] == 50
    assert "client" not in found
    assert found["client-2"]["model"] == "iris"
    assert found["address-failures"]["source"] == "default"


def test_explain_for_people_is_a_line_a_limit(site, type_command):
    folder, _ = site
    said = type_command("limits", "explain", "acme", "--instance", folder)
    assert said.out.startswith("acme, tier standard\n")
    assert "client: 5 per minute | 5 left | [[plugins.rate_limit.limits]] 1" in said.out


def test_an_unknown_client_is_one_line(site):
    _, run = site
    assert "no client" in run("limits", "explain", "nobody", code=1)["error"]


def test_a_ban_is_listed_shown_and_lifted(site):
    folder, run = site
    core, plugin = plugin_of(folder)
    plugin._bans.add("client:acme", "client")
    plugin._bans.add("address:2001:db8::/64", "address")
    assert run("limits", "explain", "acme")["banned_seconds"] >= 59
    listed = run("rate-limit", "bans", "list")
    assert {row["subject"] for row in listed} == {"client:acme", "address:2001:db8::/64"}
    assert run("rate-limit", "bans", "lift", "client:acme") == {"lifted": "client:acme"}
    assert run("rate-limit", "bans", "lift", "address:2001:db8::5")["lifted"].endswith("::/64")
    assert run("rate-limit", "bans", "list") == []
    assert "not banned" in run("rate-limit", "bans", "lift", "client:acme", code=1)["error"]
    assert plugin._penalty.seconds_left("client:acme") == 0
    core.store.close()


def test_lifting_is_told_to_who_keeps_records(limited):
    from click.testing import CliRunner

    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    one.passed(5)
    done = CliRunner().invoke(one.plugin.commands(), ["bans", "lift", "client:acme"])
    assert done.exit_code == 0, done.output
    assert [(e.name, e.client) for e in one.harness.emitted] == [
        ("excess_rate_limit_ban_lifted", "acme")
    ]
    one.clock.advance(61)
    assert one.passed(2) == 1
    assert one.send()[0].code == "rate_limited", "its old refusals no longer count"


def invoke(one, *args):
    from click.testing import CliRunner

    return CliRunner().invoke(one.plugin.commands(), list(args))


def test_the_list_of_bans_for_people_is_a_line_a_ban(limited):
    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    assert invoke(one, "bans", "list").output == "no caller is banned\n"
    one.passed(5)
    line = invoke(one, "bans", "list").output
    assert line.startswith("client:acme  level 1  until ")
    assert line.endswith("Z  client\n")


def test_past_bans_are_listed_on_request(limited):
    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    one.passed(5)
    one.clock.advance(61)
    assert json.loads(invoke(one, "bans", "list", "--json").output) == []
    (row,) = json.loads(invoke(one, "bans", "list", "--past", "--json").output)
    assert (row["subject"], row["level"], row["seconds_left"]) == ("client:acme", 1, 0)


def test_lifting_says_what_it_did(limited):
    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    one.passed(5)
    done = invoke(one, "bans", "lift", "client:acme")
    assert done.output == "the ban of client:acme is lifted\n"
    again = invoke(one, "bans", "lift", "client:acme")
    assert again.exit_code == 1
    assert "is not banned" in again.output


def test_a_lift_whose_refusals_cannot_be_cleared_says_so(limited, monkeypatch):
    """The ban is over all the same, and the next refusal may bring another."""
    from limits.errors import StorageError

    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    one.passed(5)

    def fail(bound):
        raise StorageError(OSError("gone"))

    monkeypatch.setattr(one.plugin._limiter, "clear", fail)
    done = invoke(one, "bans", "lift", "client:acme")
    assert done.exit_code == 1
    assert "the ban is lifted, but earlier refusals still count" in done.output
    assert one.plugin._penalty.seconds_left("client:acme") == 0
