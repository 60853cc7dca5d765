"""Transport: the truth about TLS, the proxy and the client's address."""

from .plugin import Transport as plugin

__all__ = ["plugin"]
