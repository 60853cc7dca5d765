"""OAuth 2.0: callers prove who they are with tokens of identity providers named here."""

from .plugin import OAuth2 as plugin

__all__ = ["plugin"]
