"""From the table to issuers: what cannot work stops the start, with file and key."""

from __future__ import annotations

import json

import pytest

from plugins.oauth2.providers import providers
from plugins.oauth2.settings import IssuerTable
from secureml import ConfigError
from secureml.testing import Harness
from tests.outside_issuer import EC, EC_OTHER, Answering, http, jwks, table, write_keys


@pytest.fixture
def host(tmp_path):
    return Harness(tmp_path).host("oauth2")


def made(host, *tables):
    return providers([IssuerTable().load(words) for words in tables], host)


def stopped(host, *tables):
    with pytest.raises(ConfigError) as error:
        made(host, *tables)
    return str(error.value)


def test_a_key_file_is_read_at_the_start(host):
    write_keys(host.instance, EC)
    (made_one,) = made(host, table())

    assert made_one.issuer.jwks.current().pick("ec-1", "ES256") is not None
    assert made_one.fetch is None


def test_a_key_file_that_changed_is_read_again(host):
    write_keys(host.instance, EC)
    (made_one,) = made(host, table())
    write_keys(host.instance, EC_OTHER)

    assert made_one.issuer.jwks.refreshed().pick("ec-2", "ES256") is not None


def test_a_missing_key_file_stops_the_start(host):
    line = stopped(host, table())

    assert "issuers.keys" in line
    assert "jwks.json" in line
    assert "file_unreadable" in line


def test_a_key_file_that_others_may_write_stops_the_start(host):
    write_keys(host.instance, EC).chmod(0o660)

    assert "file_writable_by_others" in stopped(host, table())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keys": [], "keys": []}'])
def test_a_key_file_that_is_none_stops_the_start(host, text):
    write_keys(host.instance).write_text(text)

    assert "cannot be used" in stopped(host, table())


def test_a_key_file_without_a_believed_key_stops_the_start(host):
    path = write_keys(host.instance, EC)
    path.write_text(json.dumps(jwks(EC, private=True)))
    assert "no key of this set is trusted: private" in stopped(host, table())
    path.write_text(json.dumps(jwks()))

    assert "it is empty" in stopped(host, table())


def test_two_tables_for_one_issuer_stop_the_start(host):
    write_keys(host.instance, EC)

    assert "there twice" in stopped(host, table(), table(name="b"))
    assert "there twice" in stopped(host, table(), table(issuer="https://b.example.org"))


@pytest.mark.parametrize("keys", ["discovery", "file:jwks.json"])
def test_http_is_for_loopback_in_development(host, tmp_path, keys):
    write_keys(host.instance, EC)
    production = Harness(tmp_path).host("oauth2")
    object.__setattr__(production, "profile", "production")

    assert made(host, table(issuer="http://127.0.0.1:9000", keys=keys))
    assert "https" in stopped(host, table(issuer="http://id.example.org", keys=keys))
    assert "https" in stopped(production, table(issuer="http://127.0.0.1:9000", keys=keys))


def test_an_authority_that_is_not_there_stops_the_start(host):
    assert "issuers.ca" in stopped(host, table(keys="discovery", ca="idp-ca.pem"))
    (host.instance / "idp-ca.pem").write_text("")

    assert made(host, table(keys="discovery", ca="idp-ca.pem"))


def test_nothing_is_fetched_at_the_start(host):
    with Answering(http("{}")) as server:
        made(host, table(issuer=f"http://127.0.0.1:{server.port}", keys="discovery"))

        assert server.asked == []


def test_discovery_leads_to_the_keys(host):
    with Answering(b"") as server:
        issuer = f"http://127.0.0.1:{server.port}"
        metadata = json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/keys"})
        server._answers = [http(metadata), http(json.dumps(jwks(EC)))]
        (made_one,) = made(host, table(issuer=issuer, keys="discovery"))
        made_one.issuer.jwks.refresh()

        assert made_one.issuer.jwks.current().pick("ec-1", "ES256") is not None
        assert server.asked == ["/.well-known/openid-configuration", "/keys"]


def test_keys_on_another_host_need_a_pin(host):
    with Answering(b"") as keys, Answering(b"") as server:
        issuer = f"http://127.0.0.1:{server.port}"
        where = f"http://127.0.0.1:{keys.port}/keys"
        server._answers = [http(json.dumps({"issuer": issuer, "jwks_uri": where}))]
        keys._answers = [http(json.dumps(jwks(EC)))]
        words = table(issuer=issuer, keys="discovery")
        (unpinned,) = made(host, words)
        unpinned.issuer.jwks.refresh()
        assert not unpinned.issuer.jwks.reached
        hosts = [f"127.0.0.1:{port}" for port in (server.port, keys.port)]
        (pinned,) = made(host, words | {"hosts": hosts})
        pinned.issuer.jwks.refresh()

        assert pinned.issuer.jwks.reached
