"""What an operator types."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

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


def explained(one, *args):
    """Return what `explain` says of acme: the head, and each limit's line by its name."""
    if one.harness.clients.get("acme") is None:
        one.harness.clients.add("acme")
    done = invoke(one, "explain", "acme", *args)
    assert done.exit_code == 0, done.output
    head, *lines = done.output.splitlines()
    return head, {line.split()[0]: line for line in lines}


def test_a_banned_client_is_told_first_and_with_the_seconds_that_are_left(limited):
    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    one.passed(5)
    head, lines = explained(one)
    assert head == "acme, tier standard: BANNED for 61 s"
    assert "0 left, more in " in lines["client"]


def test_a_request_that_is_open_takes_one_of_those_at_once(limited):
    one = limited({"for": "client", "allow": "2 at once"})
    request = one.exchange()
    one.before_view(request)
    assert "| 1 left |" in explained(one)[1]["client-at-once"]
    one.after_view(request)
    assert "| 2 left |" in explained(one)[1]["client-at-once"]


def test_a_budget_that_is_spent_says_that_the_next_month_brings_more(limited):
    """The clock of the tests stands at the beginning of January, UTC."""
    one = limited({"for": "client", "allow": "2 per calendar month"})
    one.passed(3)
    one.clock.advance(30 * 86400)
    assert "0 left, more in 86401 s" in explained(one)[1]["client"]
    one.clock.advance(86401)
    assert "2 left" in explained(one)[1]["client"]


def test_what_never_comes_back_is_shown_with_nothing_left(limited):
    one = limited({"for": "client", "allow": "2 ever"})
    one.passed(3)
    line = explained(one)[1]["client"]
    assert "client: 2 ever | 0 left" in line


def test_a_limit_of_each_model_is_shown_for_one_and_for_every_other(limited):
    one = limited(
        {"for": "client", "allow": "5 per hour", "model": "*"},
        {"for": "client", "allow": "9 per hour", "model": "churn", "unit": "rows"},
    )
    one.harness.clients.add("acme")
    done = invoke(one, "explain", "acme")
    assert "5 per hour of every other model | each counted separately" in done.output
    assert "5 per hour of churn | 5 left" in done.output
    assert "9 per hour rows of churn | 9 left" in done.output
    _, lines = explained(one, "--model", "iris")
    assert list(lines) == ["client"]
    assert "5 per hour of iris | 5 left" in lines["client"]


def test_a_limit_of_another_client_or_tier_is_not_shown(limited):
    one = limited(
        {"for": "client:other", "allow": "1 per hour"},
        {"for": "tier:gold", "allow": "2 per hour"},
        {"for": "everyone", "allow": "3 per hour"},
    )
    assert list(explained(one)[1]) == ["everyone"]


@pytest.mark.parametrize("mode", ["refuse", "allow"])
def test_what_cannot_be_counted_is_not_shown_as_if_it_were(limited, monkeypatch, mode):
    from limits.errors import StorageError

    one = limited({"for": "client", "allow": "5 per hour", "on_storage_failure": mode})
    one.harness.clients.add("acme")

    def fail(*_args, **_words):
        raise StorageError(OSError("gone"))

    for strategy in {type(one.plugin._limiter.bind(each).strategy) for each in limits_of(one)}:
        monkeypatch.setattr(strategy, "test_with_stats", fail)
    done = invoke(one, "explain", "acme", "--json")
    assert done.exit_code == 1
    assert "the storage of the rate limits fails" in done.output


def limits_of(one):
    """Return the limits that apply to acme."""
    from plugins.rate_limit.rules import RequestFacts, matching

    rules = one.plugin._enforcer._after_credentials
    return matching(rules, RequestFacts("", "acme", "standard", "", ""))


def test_attack_a_lift_that_cannot_be_recorded_is_not_called_done(limited, monkeypatch):
    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    one.passed(5)

    def fail(event):
        raise OSError("disk full")

    monkeypatch.setattr(one.plugin, "_host", replace(one.plugin._host, emit=fail))
    done = invoke(one, "bans", "lift", "client:acme")
    assert done.exit_code == 1
    assert "the ban of client:acme is lifted" not in done.output
