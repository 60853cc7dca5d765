"""The ``[secrets]`` tables: where managers are, and how long a secret may serve."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, validate, validates_schema
from marshmallow import fields as plain

from secureml.config_error import ConfigError
from secureml.state.fields import Duration, SecretRef
from secureml.state.secrets.aws import AwsOptions
from secureml.state.secrets.bounded_body import check_url
from secureml.state.secrets.references import RefreshPolicy, SecretOptions, is_local
from secureml.state.secrets.vault import VaultOptions


def _travels_safely(url: str) -> None:
    try:
        if url:
            check_url(url, "", "")
    except ConfigError as error:
        raise ValidationError(f"{error.message.capitalize()}.") from None


class VaultTable(Schema):
    """The ``[secrets.vault]`` table: the server behind ``vault:`` references."""

    url = plain.String(
        required=True,
        validate=[validate.Length(min=1), _travels_safely],
        metadata={
            "description": "Address of Vault or OpenBao; https, or http on loopback.",
            "example": "https://vault.example.org:8200",
        },
    )
    auth = plain.String(
        load_default="token",
        validate=validate.OneOf(("token", "approle")),
        metadata={"description": "How to log in: `token` or `approle`."},
    )
    token = SecretRef(
        load_default=None,
        metadata={"description": "The token, for `token`: a reference on this machine."},
    )
    role_id = SecretRef(
        load_default=None,
        metadata={"description": "The role's id, for `approle`: a reference on this machine."},
    )
    secret_id = SecretRef(
        load_default=None,
        metadata={"description": "The role's secret id, for `approle`: likewise."},
    )
    mount = plain.String(
        load_default="approle",
        validate=validate.Regexp(r"[A-Za-z0-9_-][\w.-]*(/[A-Za-z0-9_-][\w.-]*)*\Z", re.ASCII),
        metadata={"description": "Where AppRole is mounted."},
    )
    namespace = plain.String(
        load_default="", metadata={"description": "The namespace, where the server has them."}
    )
    ca_file = plain.String(
        load_default="",
        metadata={
            "description": "Certificate authority (PEM) of the server, relative to the instance "
            "folder; empty for public ones."
        },
    )

    @validates_schema
    def _login_is_whole(self, data: Mapping[str, Any], **_: Any) -> None:
        # A manager's own login cannot lie in a manager.
        required = {"token": ("token",), "approle": ("role_id", "secret_id")}[data["auth"]]
        for key in ("token", "role_id", "secret_id"):
            source = data[key]
            if (source is None) == (key in required):
                word = "is needed" if key in required else "is not used"
                raise ValidationError(f"This {word} where auth is {data['auth']!r}.", key)
            if source is not None and not is_local(source.reference):
                raise ValidationError("Write file:, env: or systemd: here.", key)


class AwsTable(Schema):
    """The ``[secrets.aws]`` table: the region behind ``aws:`` references."""

    region = plain.String(
        required=True,
        validate=validate.Regexp(r"[a-z0-9-]{3,32}\Z"),
        metadata={"description": "The region.", "example": "eu-central-1"},
    )
    endpoint_url = plain.String(
        load_default="",
        validate=_travels_safely,
        metadata={"description": "Another endpoint, for a private one or tests; https likewise."},
    )


class SecretsTable(Schema):
    """The ``[secrets]`` table: how secrets by reference are followed."""

    refresh = Duration(
        load_default=60.0,
        validate=validate.Range(min=1),
        metadata={"description": "Time between two questions to a secrets manager."},
    )
    overlap = Duration(
        load_default=600.0,
        metadata={"description": "How long the previous value still matches after a rotation."},
    )
    max_age = Duration(
        load_default=24 * 3600.0,
        validate=validate.Range(min=1),
        metadata={
            "description": "How long the last good value serves while its source cannot be read."
        },
    )
    warn_age = Duration(
        load_default=90 * 86400.0,
        metadata={"description": "Age above which `secureml check` asks for a rotation."},
    )
    vault = plain.Nested(VaultTable, load_default=None)
    aws = plain.Nested(AwsTable, load_default=None)

    @validates_schema
    def _ages_are_in_order(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["max_age"] <= 2 * data["refresh"]:
            raise ValidationError("This must be more than twice `refresh`.", "max_age")


def options(table: Mapping[str, Any], instance: Path) -> SecretOptions:
    """Return what a checked ``[secrets]`` table says."""
    return SecretOptions(
        RefreshPolicy(table["refresh"], table["overlap"], table["max_age"]),
        table["warn_age"],
        _vault(table["vault"], instance) if table["vault"] else None,
        AwsOptions(**table["aws"]) if table["aws"] else None,
    )


def _vault(table: Mapping[str, Any], instance: Path) -> VaultOptions:
    words = {
        key: value.reference if key in ("token", "role_id", "secret_id") and value else value or ""
        for key, value in table.items()
    }
    if words["ca_file"]:
        words["ca_file"] = str(instance / words["ca_file"])
    return VaultOptions(**words)
