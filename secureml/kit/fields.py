"""Fields of settings, for a plugin with a table: what marshmallow has not, or reads less strictly.

Needed in the marshmallow ``Schema`` of a plugin's table: numbers, times, sizes, names that must
exist, paths that are written (`Writes`) and references to secrets. The functions return fields
that several plugins have, with the same bounds and meaning in each.
"""

from __future__ import annotations

from typing import Any

from marshmallow import fields as plain
from marshmallow import validate

from secureml.state.fields import (
    DATABASE,
    AnyPath,
    ByteSize,
    Cidr,
    ClientName,
    CredentialHeader,
    Duration,
    HeaderName,
    HostName,
    InstancePath,
    ModelName,
    PluginName,
    Scope,
    SecretRef,
    StrictFloat,
    StrictInteger,
    TierName,
    Writes,
)

__all__ = [
    "DATABASE",
    "AnyPath",
    "ByteSize",
    "Cidr",
    "ClientName",
    "CredentialHeader",
    "Duration",
    "HeaderName",
    "HostName",
    "InstancePath",
    "ModelName",
    "PluginName",
    "Scope",
    "SecretRef",
    "StrictBoolean",
    "StrictFloat",
    "StrictInteger",
    "TierName",
    "Writes",
    "access_lifetime",
    "audience",
    "most_families",
    "origins",
]


class StrictBoolean(plain.Boolean):
    """True or false; not a number or a text that looks like one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return value


def audience(description: str, example: str) -> plain.String:
    """Return the field for whom our tokens are for (RFC 7519, 4.1.3)."""
    return plain.String(
        required=True,
        validate=validate.Regexp(r"[^\s]{1,200}\Z"),
        metadata={"description": description, "example": example},
    )


def origins(description: str) -> plain.List[str]:
    """Return the field for origins of this service (RFC 6454), without a default port."""
    origin = validate.Regexp(r"https://[a-z0-9.:\[\]-]{1,255}(?<!:443)\Z")
    return plain.List(
        plain.String(validate=origin), load_default=list, metadata={"description": description}
    )


def access_lifetime(longest: float = 3600.0) -> Duration:
    """Return the field for the life of an access token, ``longest`` in seconds (RFC 6750, 5.3)."""
    return Duration(
        load_default=900.0,
        validate=validate.Range(30, longest),
        metadata={"description": "Life of an access token; an hour at most."},
    )


def most_families(description: str) -> StrictInteger:
    """Return the field for the most families of tokens that are kept of one client."""
    return StrictInteger(
        load_default=1000,
        validate=validate.Range(1, 100_000),
        metadata={"description": description},
    )
