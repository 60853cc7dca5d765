"""Model integrity: nothing is loaded that no trusted key has signed.

Verifies a model's bytes before any of them is interpreted. The signature covers the
model and its card together, so neither can be exchanged for another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import Artifact, ConfigError, Host, Plugin
from secureml.kit import fields
from secureml.kit.instance_file import InstanceFile
from secureml.kit.model_signature import read_public_key, verify_signature


class Config(Schema):
    """The ``[plugins.model_integrity]`` table."""

    keys = plain.List(
        fields.InstancePath(),
        load_default=lambda: ["model_integrity/signing.pem"],
        validate=validate.Length(min=1),
        metadata={
            "description": ("Public keys (PEM, Ed25519) whose signature on a model is trusted.")
        },
    )


class ModelIntegrity(Plugin):
    """Believes the seals of the operator's keys and no others."""

    name = "model_integrity"
    concern = "model_integrity"
    schema = Config
    instance_files = (
        InstanceFile("model_integrity", "public keys of trusted model signers", 0o750, folder=True),
        InstanceFile(
            "model_integrity/signing.pem",
            "the public key of the key that signs models",
            0o640,
            public_sealing_key=True,
        ),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._keys = [_read_key(host.instance / path) for path in config["keys"]]

    def verify_artifact(self, artifact: Artifact) -> None:
        """Raise ModelRefused unless one of the keys signed this model with this card."""
        verify_signature(artifact, self._keys)


def _read_key(path: Path) -> Ed25519PublicKey:
    try:
        return read_public_key(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the public key {path.name} cannot be read ({type(error).__name__})",
            key="keys",
            fix="copy the public key (PEM) of your sealing key there, or run `secureml init`",
        ) from None
