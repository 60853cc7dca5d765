"""Errors: refusals worded as RFC 9457 problem details."""

from .plugin import Errors as plugin

__all__ = ["plugin"]
