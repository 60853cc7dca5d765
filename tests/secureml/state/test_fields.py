"""The kinds of settings values: strict, and told apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from secureml.state import fields
from secureml.state.secrets.references import SecretSource


def load(field, value):
    """Return what a field makes of a value."""
    schema = Schema.from_dict({"value": field})()
    return schema.load({"value": value})["value"]


ACCEPTED = [
    (fields.StrictInteger(), 7, 7),
    (fields.StrictFloat(), 7, 7.0),
    (fields.StrictFloat(), 0.5, 0.5),
    (fields.Duration(), "30s", 30.0),
    (fields.Duration(), "15m", 900.0),
    (fields.Duration(), "24h", 86400.0),
    (fields.Duration(), "90d", 7776000.0),
    (fields.ByteSize(), 1024, 1024),
    (fields.ByteSize(), "64KiB", 65536),
    (fields.ByteSize(), "1MiB", 1048576),
    (fields.Scope(), "models:read", "models:read"),
    (fields.HeaderName(), "X-API-Key", "X-API-Key"),
    (fields.HostName(), "ml.example.org", "ml.example.org"),
    (fields.HostName(), "localhost", "localhost"),
    (fields.HostName(), "127.0.0.1", "127.0.0.1"),
    (fields.HostName(), "::1", "::1"),
    (fields.InstancePath(), "logs/access.log", "logs/access.log"),
    (fields.SecretRef(), "env:TOKEN", SecretSource("env:TOKEN")),
]
REFUSED = [
    (fields.StrictInteger(), ["7", True, 7.0, None, [7]]),
    (fields.StrictFloat(), ["0.5", True, float("nan"), float("inf"), None]),
    (fields.Duration(), ["90", "d", "-1d", "1.5h", "90d\n", 90, "1w", ""]),
    (fields.ByteSize(), ["1MB", "-1", 0, "0", True, 1.5, "1 MiB", ""]),
    (fields.Scope(), ["Predict", "", "a b", "a" * 65, 7, "predict\n"]),
    (fields.HeaderName(), ["X_API_Key", "", "X-Key:", "X Key", "1-X", 7]),
    (fields.HostName(), ["", ".", "...", "a:1", "https://a", "*", "a b", "-a", 7]),
    (fields.InstancePath(), ["/etc/passwd", "../x", "a/../../b", "", "a\0b", 7]),
    (fields.SecretRef(), ["hunter2", "", "env:", "file:", 7, "vault-like"]),
    (fields.Cidr(), ["10.0.0.1/8", "x", "", 7, "10.0.0.0/33"]),
]


@pytest.mark.parametrize(("field", "value", "found"), ACCEPTED)
def test_what_fits_is_taken(field, value, found):
    """As the type it says."""
    assert load(field, value) == found
    assert type(load(field, value)) is type(found)


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in REFUSED for value in values]
)
def test_what_does_not_fit_is_refused(field, value):
    """Nothing is converted that a person would not call the same."""
    with pytest.raises(ValidationError):
        load(field, value)


def test_a_network_is_a_network():
    """With its prefix."""
    assert load(fields.Cidr(), "10.0.0.0/8").prefixlen == 8


def test_a_secret_written_out_is_not_repeated():
    """The message names the fix instead."""
    with pytest.raises(ValidationError) as refused:
        load(fields.SecretRef(), "hunter2")
    assert "hunter2" not in str(refused.value)
    assert "env:" in str(refused.value)


HUGE = 10**400
ODD = [
    (fields.StrictFloat(), HUGE),  # TOML's whole numbers have no end
    (fields.StrictFloat(), -HUGE),
    (fields.Duration(), "9999999999d"),  # dates overflow beyond some of these
    (fields.Duration(), "36501d"),
    (fields.Duration(), "٣d"),  # digits, but not ours
    (fields.ByteSize(), "٣MiB"),
    (fields.ByteSize(), HUGE),
    (fields.Cidr(), HUGE),
    (fields.InstancePath(), ".."),
]


@pytest.mark.parametrize(("field", "value"), ODD)
def test_what_would_overflow_later_is_refused_at_the_start(field, value):
    """With a sentence, not with a traceback."""
    with pytest.raises(ValidationError):
        load(field, value)


def test_the_longest_duration_is_a_hundred_years():
    """Longer ones are mistyped."""
    assert load(fields.Duration(), "36500d") == 36500 * 86400.0


KINDS = [
    fields.StrictInteger,
    fields.StrictFloat,
    fields.Duration,
    fields.ByteSize,
    fields.Scope,
    fields.HeaderName,
    fields.HostName,
    fields.InstancePath,
    fields.SecretRef,
    fields.Cidr,
]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_is_taken_or_refused_and_never_a_failure(kind, value):
    """Whatever TOML can say."""
    try:
        load(kind(), value)
    except ValidationError as refused:
        assert all(isinstance(line, str) for line in refused.messages["value"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_carries_its_description(kind):
    """The settings page is made of them."""
    assert kind(metadata={"description": "What."}).metadata["description"] == "What."


@pytest.mark.parametrize(
    ("field", "number", "text"),
    [
        (fields.Duration, 0, "0s"),
        (fields.Duration, 0.001, "1s"),
        (fields.Duration, 45, "45s"),
        (fields.Duration, 90 * 60, "90m"),
        (fields.Duration, 3600.0, "1h"),
        (fields.Duration, 365 * 86400, "365d"),
        (fields.ByteSize, 1, "1B"),
        (fields.ByteSize, 1025, "1025B"),
        (fields.ByteSize, 64 * 1024, "64KiB"),
        (fields.ByteSize, 16 * 1024**3, "16GiB"),
    ],
)
def test_bounds_are_told_as_settings_would_have_them(field, number, text):
    assert field.written(number) == text
    if number >= 1:
        assert load(field(), text) == number
