"""``secureml jwt``: operators take tokens back without ever handling one."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner


@pytest.fixture
def run(house):
    """Run a command; return its JSON, or its text when it fails."""

    def command(line, code=0):
        result = CliRunner().invoke(house.jwt.commands(), line.split())
        assert result.exit_code == code, result.output
        return json.loads(result.output) if "--json" in line and not code else result.output

    return command


def identity(house, pair):
    """Return the id a log shows for an access token."""
    with house.app.test_request_context():
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        return house.jwt.identify(house.harness.exchange(headers=headers)).credential


def test_each_way_to_revoke_reaches_the_next_request(house, run):
    """One token, one client, one API key, everything until now."""
    key_id = house.key.split("_")[1]
    for line in ("--client acme", f"--origin {key_id}", "--before now"):
        pair = house.pair()
        assert house.ask(pair["access_token"]).status_code == 200
        assert run(f"revoke {line} --json")["families"] == 1
        assert house.ask(pair["access_token"]).status_code == 401
        assert house.refresh(pair["refresh_token"]).status_code == 401
        house.clock.advance(1)


def test_one_token_is_revoked_by_the_id_that_logs_show(house, run):
    """Its family goes on."""
    pair = house.pair()
    assert "revoked: token" in run(f"revoke --token {identity(house, pair)}")

    assert house.ask(pair["access_token"]).status_code == 401
    assert house.refresh(pair["refresh_token"]).status_code == 200


def test_a_refresh_token_is_revoked_with_its_family(house, run):
    """Its id is in the list."""
    pair = house.pair()
    (row,) = run("list --json")
    run(f"revoke --token {row['refresh']}")

    assert house.ask(pair["access_token"]).status_code == 401


def test_all_that_a_key_signed_is_revoked_once_another_signs(house, run):
    """Not before: else what is signed from then on would be refused as well."""
    pair, kid = house.pair(), house.signing.active().kid
    assert "first: secureml signing-keys rotate" in run(f"revoke --key {kid}", code=1)
    house.signing.rotate()
    run(f"revoke --key {kid}")

    assert house.ask(pair["access_token"]).status_code == 401
    assert house.ask(house.pair()["access_token"]).status_code == 200
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
def test_what_is_not_meant_clearly_is_refused(house, run, line):
    """And takes nothing back."""
    pair = house.pair()
    run(line, code=2)

    assert house.ask(pair["access_token"]).status_code == 200


def test_before_a_moment_spares_what_was_begun_after(house, run):
    """The moment itself is included."""
    old = house.pair()
    house.clock.advance(1)
    new = house.pair()
    said = run("revoke --before 2026-01-01T00:00:00Z")

    assert said == "revoked: begun until 2026-01-01T00:00:00Z\n"
    assert house.ask(old["access_token"]).status_code == 401
    assert house.ask(new["access_token"]).status_code == 200


def test_the_list_shows_what_stands_and_no_token(house, run):
    """Enough to revoke by, nothing to sign in with."""
    assert run("list") == "no tokens out\n"
    pair = house.pair(scope="predict")
    (row,) = run("list --client acme --json")
    assert run("list --client other --json") == []
    assert (row["client"], row["state"], row["scopes"]) == ("acme", "standing", ["predict"])
    assert row["origin"] == house.key.split("_")[1]
    said = run("list") + json.dumps(row)
    assert not any(
        part in said
        for text in (pair["access_token"], pair["refresh_token"], house.key)
        for part in (text, text.split(".")[-1])
    )
    run("revoke --client acme")

    assert run("list --json")[0]["state"] == "revoked"
