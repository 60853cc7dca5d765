"""Secrets that settings refer to, for a plugin whose table has a `fields.SecretRef`.

Needed to say what ``config["key"].watch(...)`` returned (`LiveSecret`, whose value is a `Secret`),
and to refuse a request while the source of the secret is away (`SecretUnavailable`).
"""

from __future__ import annotations

from secureml.state.secrets.references import LiveSecret, Secret, SecretUnavailable

__all__ = ["LiveSecret", "Secret", "SecretUnavailable"]
