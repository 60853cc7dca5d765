"""Fields that several plugins have: what they take, and what they refuse."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from secureml.kit import fields

AUDIENCE = fields.audience("Whom tokens are for.", example="ml")
ORIGINS = fields.origins("Where callers find us.")
LIFETIME = fields.access_lifetime(600.0)
FAMILIES = fields.most_families("Most of one client.")


@pytest.mark.parametrize(
    ("field", "given", "taken"),
    [
        (fields.StrictBoolean(), True, True),
        (fields.StrictBoolean(), False, False),
        (AUDIENCE, "https://ml.example.org", "https://ml.example.org"),
        (AUDIENCE, "m" * 200, "m" * 200),
        (ORIGINS, [], []),
        (ORIGINS, ["https://ml.example.org:8443"], ["https://ml.example.org:8443"]),
        (ORIGINS, ["https://[2001:db8::1]"], ["https://[2001:db8::1]"]),
        (LIFETIME, "30s", 30.0),
        (LIFETIME, "10m", 600.0),
        (FAMILIES, 1, 1),
        (FAMILIES, 100_000, 100_000),
    ],
)
def test_what_is_meant_is_taken(field, given, taken):
    assert field.deserialize(given) == taken


@pytest.mark.parametrize(
    ("field", "given"),
    [
        *((fields.StrictBoolean(), value) for value in (1, 0, 1.0, "true", "on", "", None, [])),
        *((AUDIENCE, value) for value in ("", "a b", "m" * 201, "ml\n", None)),
        *((ORIGINS, [value]) for value in (
            "http://ml.example.org", "https://ml.example.org:443", "https://ml.example.org/",
            "https://ML.example.org", "https://", "https://a b",
        )),
        *((LIFETIME, value) for value in ("29s", "601s", 60)),
        *((FAMILIES, value) for value in (0, 100_001, True, "10")),
    ],
)  # fmt: skip
def test_what_is_not_is_refused(field, given):
    with pytest.raises(ValidationError):
        field.deserialize(given)


def test_what_may_be_left_out_has_a_default_and_all_have_a_sentence():
    assert [field.load_default for field in (LIFETIME, FAMILIES)] == [900.0, 1000]
    assert ORIGINS.load_default() == []
    assert AUDIENCE.required
    assert all(each.metadata["description"] for each in (AUDIENCE, ORIGINS, LIFETIME, FAMILIES))
