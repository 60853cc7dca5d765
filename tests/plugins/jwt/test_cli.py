"""``secureml jwt``: operators take tokens back without ever handling one."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner


@pytest.fixture
def run(core):
    """Run a command; return its JSON, or its text when it fails."""

    def command(line, code=0):
        result = CliRunner().invoke(core.jwt.commands(), line.split())
        assert result.exit_code == code, result.output
        return json.loads(result.output) if "--json" in line and not code else result.output

    return command


def identity(core, pair):
    """Return the id a log shows for an access token."""
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    with core.app.test_request_context(headers=headers):
        return core.jwt.identify(core.harness.exchange(headers=headers)).credential


def test_each_way_to_revoke_reaches_the_next_request(core, run):
    """One token, one client, one API key, everything until now."""
    key_id = core.key.split("_")[1]
    for line in ("--client acme", f"--origin {key_id}", "--before now"):
        pair = core.pair()
        assert core.ask(pair["access_token"]).status_code == 200
        assert run(f"revoke {line} --json")["families"] == 1
        assert core.ask(pair["access_token"]).status_code == 401
        assert core.refresh(pair["refresh_token"]).status_code == 401
        core.clock.advance(1)


def test_one_token_is_revoked_by_the_id_that_logs_show(core, run):
    """Its family goes on."""
    pair = core.pair()
    assert "revoked: token" in run(f"revoke --token {identity(core, pair)}")

    assert core.ask(pair["access_token"]).status_code == 401
    assert core.refresh(pair["refresh_token"]).status_code == 200


def test_a_refresh_token_is_revoked_with_its_family(core, run):
    """Its id is in the list."""
    pair = core.pair()
    (row,) = run("list --json")
    run(f"revoke --token {row['refresh']}")

    assert core.ask(pair["access_token"]).status_code == 401


def test_all_that_a_key_signed_is_revoked_once_another_signs(core, run):
    """Not before: else what is signed from then on would be refused as well."""
    pair, kid = core.pair(), core.signing.active().kid
    assert "first: secureml signing-keys rotate" in run(f"revoke --key {kid}", code=1)
    core.signing.rotate()
    run(f"revoke --key {kid}")

    assert core.ask(pair["access_token"]).status_code == 401
    assert core.ask(core.pair()["access_token"]).status_code == 200
    assert "there is no signing key" in run(f"revoke --key {'A' * 43}", code=1)


@pytest.mark.parametrize(
    "line",
    [
        "revoke",
        "revoke --client a --before now",
        "revoke --before 2026-01-01T00:00:00",
        "revoke --before tomorrow",
        "revoke --before 2099-01-01T00:00:00Z",
        "revoke --token short",
        "revoke --token eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    ],
)
def test_what_is_not_meant_clearly_is_refused(core, run, line):
    """And takes nothing back."""
    pair = core.pair()
    run(line, code=2)

    assert core.ask(pair["access_token"]).status_code == 200


def test_before_a_moment_spares_what_was_begun_after(core, run):
    """The moment itself is included."""
    old = core.pair()
    core.clock.advance(1)
    new = core.pair()
    said = run("revoke --before 2026-01-01T00:00:00Z")

    assert said == "revoked: begun until 2026-01-01T00:00:00Z\n"
    assert core.ask(old["access_token"]).status_code == 401
    assert core.ask(new["access_token"]).status_code == 200


def test_the_list_shows_what_stands_and_no_token(core, run):
    """Enough to revoke by, nothing to sign in with."""
    assert run("list") == "no tokens out\n"
    pair = core.pair(scope="predict")
    (row,) = run("list --client acme --json")
    assert run("list --client other --json") == []
    assert (row["client"], row["state"], row["scopes"]) == ("acme", "active", ["predict"])
    assert row["origin"] == core.key.split("_")[1]
    said = run("list") + json.dumps(row)
    assert not any(
        part in said
        for text in (pair["access_token"], pair["refresh_token"], core.key)
        for part in (text, text.split(".")[-1])
    )
    run("revoke --client acme")

    assert run("list --json")[0]["state"] == "revoked"
