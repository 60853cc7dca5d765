"""Anonymous: how one runs open on purpose."""

from .plugin import Anonymous as plugin

__all__ = ["plugin"]
