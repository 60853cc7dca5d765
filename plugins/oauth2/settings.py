"""The ``[plugins.oauth2]`` table: the identity providers whose tokens are accepted."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, validate, validates, validates_schema
from marshmallow import fields as plain

from secureml.kit import fields
from secureml.kit.jws_signature import ALGORITHMS
from secureml.kit.urls import UrlRefused, parse_url, pin

DISCOVERY = "discovery"
FILE = "file:"
_DAY = 86400.0


class OneOrMore(plain.Field[list[str]]):
    """One text, or a list of at least one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts:
            raise ValidationError("This must be a text, or a list of texts.")
        if not all(isinstance(text, str) and 0 < len(text) <= 255 for text in texts):
            raise ValidationError("This must be a text, or a list of texts.")
        return texts


class IssuerTable(Schema):
    """The ``[[plugins.oauth2.issuers]]`` table: one for each identity provider."""

    name = plain.String(
        required=True,
        validate=validate.Regexp(r"[a-z0-9][a-z0-9_-]{0,30}\Z"),
        metadata={"description": "What logs and commands call it.", "example": "corporate"},
    )
    issuer = plain.String(
        required=True,
        metadata={
            "description": "Its `iss`, byte for byte; an https address.",
            "example": "https://id.example.org",
        },
    )
    audience = OneOrMore(
        required=True,
        metadata={
            "description": "What its tokens must name in `aud`: us, by one of these names.",
            "example": "ml",
        },
    )
    keys = plain.String(
        load_default=DISCOVERY,
        validate=validate.Regexp(r"discovery\Z|file:[^\s]+\Z"),
        metadata={
            "description": "`discovery`, or `file:jwks.json` in the instance folder: then nothing "
            "is fetched."
        },
    )
    algorithms = plain.List(
        plain.String(validate=validate.OneOf(ALGORITHMS)),
        load_default=lambda: ["ES256", "EdDSA", "PS256"],
        validate=validate.Length(min=1),
        metadata={
            "description": "How its tokens may be signed. `RS256` counts only when named; OWASP "
            "ASVS 5.0 (appendix C) disallows it."
        },
    )
    rsa_bits = fields.StrictInteger(
        load_default=3072,
        validate=validate.OneOf((2048, 3072, 4096)),
        metadata={"description": "Smallest RSA key believed; many providers need `2048`."},
    )
    types = plain.List(
        plain.String(),
        load_default=lambda: ["at+jwt", "application/at+jwt"],
        validate=validate.Length(min=1),
        metadata={
            "description": "What the header's `typ` may say. Add `JWT` for providers that do not "
            'follow RFC 9068, and `""` for those that say nothing.'
        },
    )
    hosts = plain.List(
        plain.String(),
        load_default=list,
        metadata={
            "description": "Hosts its documents may come from, `host` or `host:port`; empty is "
            "the issuer's own."
        },
    )
    ca = fields.InstancePath(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Certificates (PEM) to believe instead of the system's.",
            "example": "id-ca.pem",
        },
    )
    leeway = fields.Duration(
        load_default=30.0,
        validate=validate.Range(0, 60),
        metadata={"description": "How far its clock may differ from ours."},
    )
    refresh = fields.Duration(
        load_default=300.0,
        validate=validate.Range(30, _DAY),
        metadata={"description": "How often its keys are fetched; a withdrawn key lives so long."},
    )
    max_age = fields.Duration(
        load_default=_DAY,
        validate=validate.Range(60, 7 * _DAY),
        metadata={
            "description": "How long its last good keys are believed while it cannot be reached."
        },
    )
    client = fields.ClientName(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Our client for all its tokens; else `clients` says which.",
            "example": "partner",
        },
    )
    client_claim = plain.String(
        load_default="client_id",
        validate=validate.Length(1, 255),
        metadata={"description": "The claim that names the caller: `client_id`, `azp`, `sub`."},
    )
    clients = plain.Dict(
        keys=plain.String(),
        values=fields.ClientName(),
        load_default=dict,
        metadata={"description": "Our client for each value of that claim."},
    )
    scope_claim = plain.String(
        load_default="scope",
        validate=validate.Length(1, 255),
        metadata={"description": "The claim that holds its scopes: `scope`, `scp`, `roles`."},
    )
    scopes = plain.Dict(
        keys=plain.String(),
        values=plain.List(fields.Scope()),
        required=True,
        metadata={
            "description": "Our scopes for each of its; one without an entry gives none.",
            "example": {"ml.predict": ["predict"]},
        },
    )
    models = plain.List(
        fields.ModelName(),
        load_default=lambda: ["*"],
        metadata={"description": "Models its tokens may use; `*` is all those of the client."},
    )

    @validates("issuer")
    def _an_address(self, value: str, **_words: Any) -> None:
        try:
            # A query has no place in an issuer (OpenID Connect Discovery, 3).
            odd = "?" in parse_url(value).target
        except UrlRefused:
            odd = True
        if odd:
            raise ValidationError(
                "This is not an address such as https://id.example.org."
            ) from None

    @validates("keys")
    def _inside(self, value: str, **_words: Any) -> None:
        if value.startswith(FILE):
            fields.InstancePath().deserialize(value.removeprefix(FILE))

    @validates("hosts")
    def _pins(self, value: list[str], **_words: Any) -> None:
        try:
            [pin(word) for word in value]
        except UrlRefused:
            raise ValidationError("Write host or host:port, without scheme and path.") from None

    @validates_schema
    def _one_way_to_a_client(self, table: dict[str, Any], **_words: Any) -> None:
        if (table["client"] is None) == (not table["clients"]):
            raise ValidationError("Say either `client` or `clients`.", "client")
        if table["max_age"] < table["refresh"]:
            raise ValidationError("Keys would end before they are fetched again.", "max_age")


class Config(Schema):
    """The ``[plugins.oauth2]`` table."""

    issuers = plain.List(
        plain.Nested(IssuerTable),
        required=True,
        validate=validate.Length(
            min=1, error="Write one table [[plugins.oauth2.issuers]] at least."
        ),
        metadata={"description": "The identity providers whose tokens are accepted."},
    )
    origins = fields.origins(
        "The addresses callers know this service by, such as `https://ml.example.org`: DPoP "
        "proofs must name one. Without any, tokens that are bound to a key are refused."
    )
