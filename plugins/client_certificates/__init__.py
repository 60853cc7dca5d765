"""Client certificates: a caller proves who it is with the key of a certificate, in the handshake."""

from .plugin import ClientCertificates as plugin

__all__ = ["plugin"]
