"""API keys: a caller proves who it is with a key it was handed once."""

from .plugin import ApiKeys as plugin

__all__ = ["plugin"]
