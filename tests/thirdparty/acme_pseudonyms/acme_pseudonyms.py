"""Pseudonyms: answers name the caller by a keyed digest, for logs that must not have names.

Runs in RESPOND.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from secureml import ConfigError, Exchange, Host, Plugin
from secureml.kit.instance_file import InstanceFile

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers

KEY = "pseudonyms/current.key"


class Pseudonyms(Plugin):
    """Sets X-Caller, the same for all requests of one client."""

    name = "pseudonyms"
    instance_files = (
        InstanceFile("pseudonyms", "keys of pseudonyms", 0o700, folder=True),
        InstanceFile(KEY, "the current key of pseudonyms", make=lambda: secrets.token_bytes(32)),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        try:
            self._key = (host.instance / KEY).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{KEY} cannot be read ({type(error).__name__})", fix="run `secureml init`"
            ) from None

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Name an identified caller."""
        if exchange.principal is not None:
            digest = hmac.digest(self._key, exchange.principal.client.encode(), "sha256")
            headers["X-Caller"] = digest.hex()[:16]
