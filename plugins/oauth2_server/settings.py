"""The ``[plugins.oauth2_server]`` table: our own issuer, and how long what it issues lives."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, validate, validates
from marshmallow import fields as plain

from secureml.kit import fields

_MONTH = 30 * 86400.0


class Config(Schema):
    """The ``[plugins.oauth2_server]`` table."""

    issuer = plain.String(
        required=True,
        validate=validate.Regexp(r"https://[a-z0-9.:\[\]-]{1,200}(/[A-Za-z0-9._~-]+){0,8}\Z"),
        metadata={
            "description": "What our tokens name as `iss`: an https address of this service, "
            "without a slash at its end. No other plugin may believe the same issuer.",
            "example": "https://ml.example.org/oauth2",
        },
    )
    audience = fields.audience(
        "Whom our tokens are for: the name of this service.", example="https://ml.example.org"
    )
    origins = fields.origins(
        "Other addresses that callers know this service by: DPoP proofs must name one of them, or "
        "the host of `issuer`."
    )
    access_lifetime = fields.access_lifetime()
    refresh_lifetime = fields.Duration(
        load_default=_MONTH,
        validate=validate.Range(60, _MONTH),
        metadata={"description": "Life of all that comes of one consent, however often refreshed."},
    )
    code_lifetime = fields.Duration(
        load_default=60.0,
        validate=validate.Range(5, 60),
        metadata={"description": "Life of an authorization code."},
    )
    device_lifetime = fields.Duration(
        load_default=600.0,
        validate=validate.Range(60, 1800),
        metadata={"description": "How long a device waits for somebody to type its code."},
    )
    session_lifetime = fields.Duration(
        load_default=1800.0,
        validate=validate.Range(60, 12 * 3600),
        metadata={"description": "How long a person stays signed in, at most."},
    )
    families = fields.most_families(
        "Most grants of one kind that stand for one OAuth client; the oldest give way."
    )

    @validates("issuer")
    def _no_default_port(self, value: str, **_words: Any) -> None:
        if value.removeprefix("https://").split("/")[0].endswith(":443"):
            raise ValidationError("Leave the port 443 out: clients do.")
