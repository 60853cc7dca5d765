"""Gateway: identities that a trusted gateway in front has verified, taken only with proof."""

from .plugin import GatewayPlugin as plugin

__all__ = ["plugin"]
