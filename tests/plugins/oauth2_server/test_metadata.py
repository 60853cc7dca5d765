"""The metadata document, by the library's own validator."""

from __future__ import annotations

import json

import pytest
from authlib.oauth2 import rfc8414, rfc9207

from plugins.oauth2_server.metadata import metadata, origin, path


@pytest.mark.parametrize("issuer", ["https://ml.example.org", "https://ml.example.org:8443/a/b"])
def test_it_is_valid_and_names_the_issuer_byte_for_byte(issuer):
    found = metadata(issuer)
    checked = rfc8414.AuthorizationServerMetadata(found)
    checked.validate(metadata_classes=[rfc9207.AuthorizationServerMetadata])
    assert found["issuer"] == issuer
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert all(url.startswith(origin(issuer)) for key, url in found.items() if key.endswith("uri"))


def test_it_lies_before_the_issuers_own_path():
    well_known = "/.well-known/oauth-authorization-server"
    assert path("https://ml.example.org") == well_known
    assert path("https://ml.example.org/oauth2") == f"{well_known}/oauth2"


def test_what_is_offered_is_what_is_there_and_nothing_weaker():
    """RFC 9700, 2.1 and 2.4: no implicit grant, no password, no `plain`."""
    found = metadata("https://ml.example.org")
    assert found["response_types_supported"] == ["code"]
    assert found["response_modes_supported"] == ["query"]
    assert set(found["grant_types_supported"]) == {
        "authorization_code", "client_credentials", "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
    }  # fmt: skip
    assert found["authorization_response_iss_parameter_supported"] is True
    assert not any(alg.startswith("HS") for alg in found["dpop_signing_alg_values_supported"])
    assert "none" not in found["dpop_signing_alg_values_supported"]
    assert "none" not in found["introspection_endpoint_auth_methods_supported"]


def test_every_address_is_under_tls_and_of_the_issuers_host():
    """RFC 8414, 2: and none has a query or a fragment."""
    for issuer in ("https://ml.example.org", "https://ml.example.org:8443/a/b", "https://[::1]"):
        for name, value in metadata(issuer).items():
            if name.endswith(("_endpoint", "_uri")):
                assert value.startswith(origin(issuer) + "/")
                assert not set(value) & {"?", "#"}


def test_every_endpoint_has_an_address_of_its_own():
    found = metadata("https://ml.example.org")
    addresses = [value for name, value in found.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(set(addresses)) == len(addresses) == 6


def test_all_of_it_is_json_and_the_same_each_time():
    found = metadata("https://ml.example.org/oauth2")
    assert json.loads(json.dumps(found)) == found == metadata("https://ml.example.org/oauth2")


def test_an_issuer_with_a_port_keeps_it():
    assert origin("https://ml.example.org:8443/oauth2") == "https://ml.example.org:8443"
    assert path("https://ml.example.org:8443/a/b").endswith("/oauth-authorization-server/a/b")
