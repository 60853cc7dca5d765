"""The table of the server."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.oauth2_server.settings import Config

GOOD = {"issuer": "https://ml.example.org/oauth2", "audience": "ml"}


@pytest.mark.parametrize(
    "issuer",
    [
        "http://ml.example.org", "https://ml.example.org/", "https://ml.example.org/?x",
        "https://ml.example.org/#x", "https://ml.example.org:443", "https://ML.example.org",
        "https://u@ml.example.org", "https://ml.example.org/a//b", "ml.example.org",
    ],
)  # fmt: skip
def test_an_issuer_is_one_exact_address(issuer):
    with pytest.raises(ValidationError):
        Config().load({**GOOD, "issuer": issuer})


@pytest.mark.parametrize("issuer", ["https://ml.example.org", "https://localhost:8443/oauth2"])
def test_an_issuer_may_have_a_port_and_a_path(issuer):
    assert Config().load({**GOOD, "issuer": issuer})["issuer"] == issuer


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("access_lifetime", "61m"), ("code_lifetime", "61s"), ("refresh_lifetime", "31d"),
        ("device_lifetime", "31m"), ("session_lifetime", "13h"), ("families", 0), ("odd", 1),
    ],
)  # fmt: skip
def test_nothing_lives_longer_than_it_should(key, value):
    with pytest.raises(ValidationError):
        Config().load({**GOOD, key: value})
