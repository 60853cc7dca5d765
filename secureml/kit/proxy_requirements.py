"""What a plugin needs of the proxy in front of the application, as a plugin declares it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxyRequirements:
    """What the proxy must know or do; `secureml serve` and `secureml nginx-conf` write it.

    ``hosts`` are the names and addresses that it serves. ``token`` is a reference to the secret
    that it sends in X-SecureML-Edge, such as ``file:keys/edge-token``. ``allowed_origins`` are
    those whose web pages may read its own refusals. ``client_authorities`` and
    ``client_revocations`` are paths in the instance folder: where the first exists, clients are
    asked for certificates of these authorities, without those that the second revokes.
    """

    hosts: tuple[str, ...] = ()
    token: str = ""
    allowed_origins: tuple[str, ...] = ()
    client_authorities: str = ""
    client_revocations: str = ""
