"""The signature of a sealed model, for a plugin with ``verify_artifact``.

Needed to check that a model was sealed with a trusted key: `verify_signature` raises
`secureml.ModelRefused` unless one of the keys, each read by `read_public_key`, signed model and
card (Ed25519, RFC 8032).
"""

from __future__ import annotations

from secureml.models.artifact.signature import read_public_key, verify_signature

__all__ = ["read_public_key", "verify_signature"]
