"""Tokens of our own: an API key is traded for a short token that can be taken back."""

from .plugin import Jwt as plugin

__all__ = ["plugin"]
