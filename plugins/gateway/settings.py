"""The ``[plugins.gateway]`` table: the gateways whose identities are taken, and their proof."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, validate, validates, validates_schema
from marshmallow import fields as plain

from secureml.kit import fields
from secureml.kit.client_certificate import dns_name
from secureml.kit.jws_signature import ALGORITHMS
from secureml.kit.urls import UrlRefused, parse_url

from .signed_identity import BINDS

FILE = "file:"
_DAY = 86400.0


class GatewayTable(Schema):
    """The ``[[plugins.gateway.gateways]]`` table: one for each gateway."""

    name = plain.String(
        required=True,
        validate=validate.Regexp(r"[a-z0-9][a-z0-9_-]{0,30}\Z"),
        metadata={"description": "What logs call it.", "example": "envoy"},
    )
    issuer = plain.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"[!-~]{1,255}\Z"),
        metadata={
            "description": "`iss` of the tokens that it signs. Without it, its certificate is "
            "the proof.",
            "example": "https://gateway.example.org",
        },
    )
    audience = plain.List(
        plain.String(validate=validate.Length(1, 255)),
        load_default=None,
        allow_none=True,
        metadata={
            "description": "What its tokens must name in `aud`: us, by one of these names.",
            "example": ["ml"],
        },
    )
    keys = plain.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"file:[^\s]+\Z|https?://[^\s]+\Z"),
        metadata={
            "description": "Its public keys, a JWK Set: `file:gateway-keys.json` in the instance "
            "folder, or an https address.",
            "example": "https://gateway.example.org/jwks.json",
        },
    )
    ca = fields.InstancePath(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Authorities (PEM) for the https address, instead of the system's.",
            "example": "gateway-ca.pem",
        },
    )
    algorithms = plain.List(
        plain.String(validate=validate.OneOf(ALGORITHMS)),
        load_default=lambda: ["ES256", "EdDSA", "PS256"],
        validate=validate.Length(min=1),
        metadata={"description": "How its tokens may be signed; `RS256` only where it is named."},
    )
    rsa_bits = fields.StrictInteger(
        load_default=3072,
        validate=validate.OneOf((2048, 3072, 4096)),
        metadata={"description": "Smallest RSA key that is trusted."},
    )
    types = plain.List(
        plain.String(),
        load_default=lambda: ["JWT"],
        validate=validate.Length(min=1),
        metadata={"description": 'What `typ` in the header may say; `""` for none.'},
    )
    lifetime = fields.Duration(
        load_default=300.0,
        validate=validate.Range(5, 3600),
        metadata={"description": "Longest life of a token after its `iat`, whatever `exp` says."},
    )
    leeway = fields.Duration(
        load_default=10.0,
        validate=validate.Range(0, 60),
        metadata={"description": "How far its clock may differ from ours."},
    )
    refresh = fields.Duration(
        load_default=300.0,
        validate=validate.Range(30, _DAY),
        metadata={"description": "How often its keys are read again."},
    )
    max_age = fields.Duration(
        load_default=_DAY,
        validate=validate.Range(60, 7 * _DAY),
        metadata={"description": "How long its last keys count while it cannot be reached."},
    )
    claim = plain.String(
        load_default="sub",
        validate=validate.Length(1, 255),
        metadata={"description": "The claim that names the caller."},
    )
    binds = plain.List(
        plain.String(validate=validate.OneOf(BINDS)),
        load_default=list,
        metadata={
            "description": "What of the request its tokens must name: `method` in `htm`, `path` "
            "in `path`, `body` in `body_sha256` (base64url)."
        },
    )
    most_body = fields.ByteSize(
        load_default=1024 * 1024,
        validate=validate.Range(1, 64 * 1024 * 1024),
        metadata={"description": "Most bytes of a body that is read to compare its digest."},
    )
    certificates = plain.List(
        plain.String(validate=validate.Regexp(r"[A-Za-z0-9_-]{43}\Z")),
        load_default=list,
        metadata={
            "description": "SHA-256 thumbprints (base64url) of its client certificates, which "
            "Nginx has verified."
        },
    )
    certificate_names = plain.List(
        plain.String(),
        load_default=list,
        metadata={"description": "Host names in its certificates, signed by `authority`."},
    )
    authority = fields.InstancePath(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "The authorities (PEM) that sign certificates with these names.",
            "example": "tls/gateways.crt",
        },
    )
    clients = plain.Dict(
        keys=plain.String(validate=validate.Length(1, 255)),
        values=fields.ClientName(),
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Our client for each identity of the gateway.",
            "example": {"alice": "acme"},
        },
    )
    known_clients = fields.StrictBoolean(
        load_default=False,
        metadata={
            "description": "Whether an identity without an entry in `clients` is the name of a "
            "client of ours."
        },
    )
    scopes = plain.List(
        fields.Scope(),
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "description": "The most that a caller may do through it; never more than its client.",
            "example": ["predict"],
        },
    )
    models = plain.List(
        fields.ModelName(),
        load_default=lambda: ["*"],
        metadata={"description": "Models that it may use; `*` is all those of the client."},
    )

    @validates("keys")
    def _readable(self, value: str | None, **_words: Any) -> None:
        if value is None:
            return
        if value.startswith(FILE):
            fields.InstancePath().deserialize(value.removeprefix(FILE))
            return
        try:
            parse_url(value)
        except UrlRefused:
            raise ValidationError(
                "This is not an address such as https://gateway.example.org/jwks.json."
            ) from None

    @validates("certificate_names")
    def _host_names(self, value: list[str], **_words: Any) -> None:
        if any(dns_name(name) is None for name in value):
            raise ValidationError("This is not a host name such as gateway.example.org.")

    @validates_schema
    def _has_proof(self, table: dict[str, Any], **_words: Any) -> None:
        by_certificate = table["certificates"] or table["certificate_names"]
        if not table["issuer"] and not by_certificate:
            raise ValidationError("Say `issuer` or `certificates`: without, nothing proves it.")
        for key in ("audience", "keys"):
            if bool(table["issuer"]) != bool(table[key]):
                raise ValidationError("`issuer`, `audience` and `keys` belong together.", key)
        if table["certificate_names"] and table["authority"] is None:
            raise ValidationError("`certificate_names` need an `authority`.", "authority")

    @validates_schema
    def _names_clients(self, table: dict[str, Any], **_words: Any) -> None:
        if not table["clients"] and not table["known_clients"]:
            raise ValidationError("Say `clients`, or `known_clients = true`.", "clients")
        if table["max_age"] < table["refresh"]:
            raise ValidationError("Keys would end before they are read again.", "max_age")


class Config(Schema):
    """The ``[plugins.gateway]`` table."""

    header = fields.CredentialHeader(
        load_default="X-Gateway-Identity",
        metadata={
            "description": "The header that carries the token, or the identity where the "
            "gateway's certificate is the proof."
        },
    )
    gateways = plain.List(
        plain.Nested(GatewayTable),
        required=True,
        validate=validate.Length(
            min=1, error="Write one table [[plugins.gateway.gateways]] at least."
        ),
        metadata={"description": "The gateways whose identities are taken."},
    )
