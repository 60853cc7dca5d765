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


def test_what_nobody_sets_is_within_what_the_standards_advise():
    """RFC 6750, 5.3: an hour; RFC 6749, 4.1.2: ten minutes for a code, here one."""
    table = Config().load(GOOD)
    assert table["access_lifetime"] <= 3600
    assert table["code_lifetime"] <= 60
    assert table["device_lifetime"] <= 1800
    assert table["refresh_lifetime"] <= 31 * 86400
    assert table["origins"] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("access_lifetime", "29s"), ("code_lifetime", "4s"), ("refresh_lifetime", "59s"),
        ("device_lifetime", "59s"), ("session_lifetime", "59s"), ("families", 100_001),
        ("access_lifetime", 0), ("access_lifetime", -1), ("access_lifetime", "soon"),
        ("families", 1.5), ("families", True), ("families", "10"),
    ],
)  # fmt: skip
def test_nothing_is_so_short_or_odd_that_nothing_would_work(key, value):
    with pytest.raises(ValidationError):
        Config().load({**GOOD, key: value})


@pytest.mark.parametrize("key", ["issuer", "audience"])
def test_who_issues_and_for_whom_must_be_said(key):
    """A default would be the same on every machine, and tokens of one good on another."""
    with pytest.raises(ValidationError) as error:
        Config().load({name: value for name, value in GOOD.items() if name != key})
    assert list(error.value.messages) == [key]


@pytest.mark.parametrize(
    "origin",
    [
        "http://ml.example.org", "https://ml.example.org/", "https://ml.example.org:443",
        "https://ML.example.org", "*", "null", "", "https://", "https://u@ml.example.org",
        "https://ml.example.org\n",
    ],
)  # fmt: skip
def test_an_origin_is_written_as_proofs_name_it(origin):
    with pytest.raises(ValidationError):
        Config().load({**GOOD, "origins": [origin]})


@pytest.mark.parametrize("audience", ["", " ", "a b", "a\n", "x" * 201])
def test_an_audience_is_one_word(audience):
    with pytest.raises(ValidationError):
        Config().load({**GOOD, "audience": audience})


@pytest.mark.parametrize("issuer", ["https://ml.example.org\n", "https://", "https:///x", ""])
def test_an_issuer_is_an_address_and_nothing_behind_it(issuer):
    with pytest.raises(ValidationError):
        Config().load({**GOOD, "issuer": issuer})


def test_every_setting_says_what_it_is():
    for name, field in Config().fields.items():
        assert field.metadata.get("description", "").endswith("."), name
