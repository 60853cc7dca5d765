"""From the table to gateways: what cannot work stops the start, with file and key."""

from __future__ import annotations

import json

import pytest

from plugins.gateway.gateways import gateways
from plugins.gateway.settings import GatewayTable
from secureml import ConfigError
from secureml.kit.client_certificate import from_der
from tests.made_certificates import Authority
from tests.outside_issuer import EC, EC_OTHER, Answering, http, jwks, write_keys

from .conftest import certified, signing

PRINT = "A" * 43


def made(harness, *tables):
    return gateways([GatewayTable().load(table) for table in tables], harness.host("gateway"))


def stopped(harness, *tables):
    with pytest.raises(ConfigError) as error:
        made(harness, *tables)
    assert error.value.fix
    return str(error.value)


def test_keys_of_a_file_are_read_at_the_start_and_again_when_they_are_due(harness):
    (found,) = made(harness, signing())
    assert found.tokens.jwks.current().pick("ec-1", "ES256") is not None
    write_keys(harness.folder, EC_OTHER)
    assert found.tokens.jwks.refreshed().pick("ec-2", "ES256") is not None


def test_keys_of_an_address_are_fetched_at_the_first_need(harness):
    with Answering(http(json.dumps(jwks(EC)))) as server:
        address = f"http://127.0.0.1:{server.port}/jwks.json"
        (found,) = made(harness, signing(keys=address))
        assert server.asked == []
        found.tokens.jwks.refresh()
        assert found.tokens.jwks.current().pick("ec-1", "ES256") is not None
        assert server.asked == ["/jwks.json"]


def test_a_key_file_that_is_none_stops_the_start(harness):
    path = harness.folder / "jwks.json"
    path.chmod(0o666)
    assert "file_writable_by_others" in stopped(harness, signing())
    path.chmod(0o640)
    path.write_text("{}")
    assert "no_key_set" in stopped(harness, signing())
    path.unlink()
    line = stopped(harness, signing())
    assert "gateways.keys" in line
    assert "jwks.json" in line


def test_http_is_for_loopback_in_development(harness):
    assert "https" in stopped(harness, signing(keys="http://gateway.example.org/jwks.json"))
    host = harness.host("gateway")
    object.__setattr__(host, "profile", "production")
    with pytest.raises(ConfigError, match="https"):
        gateways([GatewayTable().load(signing(keys="http://127.0.0.1:1/k"))], host)


def test_an_authority_that_is_missing_or_none_stops_the_start(harness, leaf):
    named = {"certificates": None, "certificate_names": ["gateway.example.org"]}
    table = certified(PRINT, **named, authority="tls/gateways.crt")
    assert "cannot be read" in stopped(harness, table)
    (harness.folder / "tls").mkdir()
    (harness.folder / "tls/gateways.crt").write_text("nothing")
    assert "not one certificate" in stopped(harness, table)
    (harness.folder / "tls/gateways.crt").write_bytes(leaf.pem)
    assert "gateways.authority" in stopped(harness, table)
    secure = signing(keys="https://gateway.example.org/k", ca="none.pem")
    assert "gateways.ca" in stopped(harness, secure)


def test_a_name_counts_only_under_the_authority_that_the_table_names(harness, authority, leaf):
    (harness.folder / "tls").mkdir()
    (harness.folder / "tls/gateways.crt").write_bytes(authority.own.pem)
    named = {"certificates": None, "certificate_names": ["Gateway.Example.org"]}
    (found,) = made(harness, certified(PRINT, **named, authority="tls/gateways.crt"))
    assert found.certificates.holds(from_der(leaf.der))
    assert not found.certificates.holds(from_der(authority.sign("other.example.org").der))
    impostor = Authority(authority.at, "clients' authority").sign("gateway.example.org")
    assert not found.certificates.holds(from_der(impostor.der))


@pytest.mark.parametrize(
    ("one", "two", "key"),
    [
        (signing(), signing(issuer="https://b.example.org"), "gateways.name"),
        (signing(), signing(name="b"), "gateways.issuer"),
        (certified(PRINT), certified(PRINT, name="b"), "gateways.certificates"),
    ],
)
def test_a_proof_that_two_gateways_share_stops_the_start(harness, one, two, key):
    assert key in stopped(harness, one, two)
