"""The table: what a mistake in it is called, and what is so when nothing is said."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.oauth2.settings import Config, IssuerTable
from tests.outside_issuer import table


def refused(**changed):
    with pytest.raises(ValidationError) as error:
        IssuerTable().load(table(**changed))
    return error.value.messages


def test_what_is_not_said_is_strict():
    loaded = IssuerTable().load(table(keys=None))

    assert loaded["keys"] == "discovery"
    assert loaded["algorithms"] == ["ES256", "EdDSA", "PS256"]
    assert loaded["types"] == ["at+jwt", "application/at+jwt"]
    assert (loaded["rsa_bits"], loaded["leeway"]) == (3072, 30)
    assert (loaded["refresh"], loaded["max_age"]) == (300, 86400)
    assert loaded["audience"] == ["https://ml.example.org"]


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "A b"},
        {"name": None},
        {"issuer": None},
        {"issuer": "id.example.org"},
        {"issuer": "ftp://id.example.org"},
        {"issuer": "https://id.example.org/#x"},
        {"issuer": "https://id.example.org/?tenant=1"},
        {"audience": None},
        {"audience": []},
        {"audience": ""},
        {"audience": [1]},
        {"keys": "jwks.json"},
        {"keys": "https://id.example.org/keys"},
        {"keys": "file:"},
        {"keys": "file:/etc/jwks.json"},
        {"keys": "file:../jwks.json"},
        {"algorithms": []},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": ["ES512"]},
        {"rsa_bits": 1024},
        {"types": []},
        {"hosts": ["https://id.example.org"]},
        {"hosts": ["a b"]},
        {"ca": "/etc/ca.pem"},
        {"leeway": "61s"},
        {"refresh": "29s"},
        {"refresh": "2d"},
        {"max_age": "8d"},
        {"refresh": "2h", "max_age": "1h"},
        {"client": "acme"},
        {"clients": None},
        {"clients": {}},
        {"client_claim": ""},
        {"scopes": None},
        {"scopes": {"a": "predict"}},
        {"scopes": {"a": ["Not A Scope"]}},
        {"unknown": 1},
    ],
)
def test_a_mistake_stops_the_start(changed):
    assert refused(**changed)


def test_one_client_for_all_needs_no_map():
    assert IssuerTable().load(table(client="acme", clients=None))["client"] == "acme"


def test_an_rs256_key_counts_when_it_is_named():
    assert IssuerTable().load(table(algorithms=["RS256"]))["algorithms"] == ["RS256"]


@pytest.mark.parametrize(
    "origin",
    [
        "http://ml.example.org",
        "https://ml.example.org/",
        "https://ML.example.org",
        "https://ml.example.org:443",
        "ml.example.org",
    ],
)
def test_an_origin_has_one_spelling(origin):
    with pytest.raises(ValidationError):
        Config().load({"issuers": [table()], "origins": [origin]})


def test_an_origin_may_have_a_port():
    loaded = Config().load({"issuers": [table()], "origins": ["https://localhost:8443"]})

    assert loaded["origins"] == ["https://localhost:8443"]


@pytest.mark.parametrize("words", [{}, {"issuers": []}, {"issuers": [table()], "server": {}}])
def test_at_least_one_issuer_is_named_and_nothing_of_another_plugin(words):
    with pytest.raises(ValidationError):
        Config().load(words)


@pytest.mark.parametrize(
    ("changed", "key", "says"),
    [
        ({"issuer": "http://id.example.org/?a=1"}, "issuer", "https://id.example.org"),
        ({"hosts": ["https://id.example.org"]}, "hosts", "host or host:port"),
        ({"clients": None}, "client", "either `client` or `clients`"),
        ({"client": "acme"}, "client", "either `client` or `clients`"),
        ({"refresh": "2h", "max_age": "1h"}, "max_age", "before they are fetched again"),
        ({"audience": 5}, "audience", "a text, or a list of texts"),
        ({"audience": ["x" * 256]}, "audience", "a text, or a list of texts"),
    ],
)
def test_a_mistake_is_told_at_its_key_with_what_to_write(changed, key, says):
    messages = refused(**changed)
    assert list(messages) == [key]
    assert says in str(messages[key])


@pytest.mark.parametrize(
    "changed",
    [
        {"refresh": "30s", "max_age": "60s"},
        {"refresh": "5m", "max_age": "5m"},  # as long as each other is long enough
        {"leeway": "0s"},
        {"leeway": "60s"},
        {"max_age": "7d"},
        {"name": "a" * 31},
        {"audience": "x" * 255},
        {"audience": ["https://a.example", "https://b.example"]},
        {"types": [""]},
        {"hosts": ["id.example.org", "keys.example.org:8443"]},
        {"keys": "file:keys/jwks.json"},
        {"client_claim": "azp", "scope_claim": "scp"},
        {"scopes": {}},
    ],
)
def test_what_is_at_a_bound_is_accepted(changed):
    loaded = IssuerTable().load(table(**changed))
    for key in set(changed) & {"name", "types", "hosts", "keys", "client_claim", "scopes"}:
        assert loaded[key] == changed[key]


def test_defaults_of_one_issuer_are_not_those_of_another():
    first, second = (IssuerTable().load(table()) for _ in range(2))
    for key in ("algorithms", "types", "hosts", "models"):
        first[key].append("changed")
        assert "changed" not in second[key]
