"""Security headers: what a browser or cache may do with an answer."""

from .plugin import SecurityHeaders as plugin

__all__ = ["plugin"]
