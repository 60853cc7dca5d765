"""The metadata document, by the library's own validator."""

from __future__ import annotations

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
