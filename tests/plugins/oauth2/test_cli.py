"""`secureml oauth2 issuers`: whom we believe, and what an issuer would be believed now."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from plugins.oauth2.plugin import OAuth2
from secureml.testing import Harness
from tests.outside_issuer import EC, EC_OTHER, Answering, http, jwks, rsa, table, write_keys


@pytest.fixture
def run(tmp_path):
    """Run a command over issuers of the settings."""
    harness = Harness(tmp_path)
    write_keys(tmp_path, EC)

    def call(*words, **changed):
        plugin = harness.build(OAuth2, {"issuers": [table(**changed)]})
        return CliRunner().invoke(plugin.commands(), ["issuers", *words])

    return call


@pytest.fixture
def idp():
    """A provider whose two documents a test chooses."""
    with Answering(b"") as server:
        server.issuer = f"http://127.0.0.1:{server.port}"

        def publish(keys, **metadata):
            words = {"issuer": server.issuer, "jwks_uri": f"{server.issuer}/keys"} | metadata
            server._answers = [http(json.dumps(words)), http(json.dumps(keys))]

        server.publish = publish
        yield server


def test_the_issuers_of_the_settings_are_listed(run):
    done = run("list")
    assert done.exit_code == 0
    assert "https://id.example.org" in done.output
    rows = json.loads(run("list", "--json").output)

    assert rows[0]["name"] == "idp"
    assert rows[0]["clients"] == {"their-app": "acme"}
    assert rows[0]["scopes"] == {"ml.predict": ["predict"], "ml.read": ["models:read"]}


def test_a_good_issuer_is_told_key_by_key(run, idp):
    enc = EC_OTHER.as_dict(private=False) | {"use": "enc"}
    idp.publish({"keys": [EC.as_dict(private=False), enc]})
    done = run("check", idp.issuer, issuer=idp.issuer, keys="discovery")

    assert done.exit_code == 0
    assert "ec-1  EC ES256  trusted" in done.output
    assert "ec-2  EC -  dropped: purpose" in done.output


def test_each_failed_rule_is_told_and_fails_the_command(run, idp):
    weak, leaked = rsa(2048, kid="rsa-1"), EC.as_dict(private=True)
    idp.publish({"keys": [weak.as_dict(private=False), leaked]})
    done = run("check", idp.issuer, "--json")
    report = json.loads(done.output)

    assert done.exit_code == 1
    assert report["faults"] == ["key_weak", "key_private", "no_trusted_key"]
    assert leaked["d"] not in done.output
    assert report["jwks_uri"] == f"{idp.issuer}/keys"


def test_an_issuer_of_the_settings_is_judged_by_its_own_table(run, idp):
    idp.publish({"keys": [rsa(2048).as_dict(private=False)]})
    words = {"keys": "discovery", "rsa_bits": 2048, "algorithms": ["RS256"]}

    assert run("check", idp.issuer, issuer=idp.issuer, **words).exit_code == 0


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ({"issuer": "https://other.example"}, "issuer_differs"),
        ({"jwks_uri": "https://evil.example/keys"}, "jwks_uri_host_not_pinned"),
    ],
)
def test_metadata_that_breaks_a_rule_is_told(run, idp, metadata, fault):
    idp.publish(jwks(EC), **metadata)
    done = run("check", idp.issuer)

    assert done.exit_code == 1
    assert f"fault     {fault}" in done.output


def test_an_issuer_that_is_away_is_told(run):
    with Answering(http("", "503 Down")) as server:
        done = run("check", f"http://127.0.0.1:{server.port}")

    assert done.exit_code == 1
    assert "fault     status" in done.output


@pytest.mark.parametrize("url", ["id.example.org", "http://id.example.org", "ftp://a", ""])
def test_what_is_no_https_address_is_not_asked(run, url):
    done = run("check", url)

    assert done.exit_code == 1
    assert "https" in done.output


def test_keys_in_a_file_are_told_as_such(run):
    done = run("check", "https://id.example.org")

    assert "keys_are_in_a_file" in done.output
