"""OAuth 2.0 authorization server: issues access tokens to our own clients, and verifies them."""

from .plugin import OAuth2Server as plugin

__all__ = ["plugin"]
