"""Client certificates: a caller proves who it is in the TLS handshake itself."""

from .plugin import ClientCertificates as plugin

__all__ = ["plugin"]
