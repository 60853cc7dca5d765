"""The table: what cannot be meant is refused where it stands."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.gateway.settings import Config, GatewayTable

from .conftest import certified, signing

PRINT = "A" * 43


def faults(table):
    with pytest.raises(ValidationError) as refused:
        GatewayTable().load(table)
    return str(refused.value.messages)


def test_whole_tables_are_read():
    GatewayTable().load(signing())
    GatewayTable().load(certified(PRINT))
    GatewayTable().load(signing(certificates=[PRINT]))
    GatewayTable().load(signing(keys="https://gateway.example.org/jwks.json"))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (signing(issuer=None, audience=None, keys=None), "nothing proves it"),
        (signing(audience=None), "belong together"),
        (signing(keys=None), "belong together"),
        (signing(clients=None), "known_clients"),
        (signing(scopes=None), "Missing data"),
        (signing(scopes=[]), "Shorter"),
        (signing(keys="file:../jwks.json"), "keys"),
        (signing(keys="https://user@gateway.example.org/k"), "not an address"),
        (signing(keys="ftp://gateway.example.org/k"), "keys"),
        (signing(algorithms=["HS256"]), "algorithms"),
        (signing(lifetime="2h"), "lifetime"),
        (signing(binds=["host"]), "binds"),
        (signing(refresh="1h", max_age="10m"), "max_age"),
        (signing(issuer="two words"), "issuer"),
        (certified("short"), "certificates"),
        (certified(PRINT, certificate_names=["gateway.example.org"]), "authority"),
        (certified(PRINT, certificate_names=["*.example.org"], authority="a.crt"), "host name"),
        (certified(PRINT, known_clients="yes"), "known_clients"),
    ],
)
def test_what_cannot_be_meant_is_refused(table, words):
    assert words in faults(table)


@pytest.mark.parametrize(
    "header", ["Authorization", "X-Forwarded-User", "X-Real-IP", "Host", "a b"]
)
def test_a_header_with_another_meaning_is_refused(header):
    """Nginx removes most of them, so the identity would be lost or somebody else's."""
    with pytest.raises(ValidationError):
        Config().load({"header": header, "gateways": [signing()]})


def test_there_is_one_gateway_at_least():
    with pytest.raises(ValidationError):
        Config().load({"gateways": []})
