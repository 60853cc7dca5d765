"""Access log: one JSON line a request."""

from .plugin import AccessLog as plugin

__all__ = ["plugin"]
