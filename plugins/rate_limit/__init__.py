"""Rate limits: how much of the service one caller may have, exact over all workers."""

from .plugin import RateLimit as plugin

__all__ = ["plugin"]
