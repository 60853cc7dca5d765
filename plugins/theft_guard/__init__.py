"""Theft guard: a model is not copied, nor its boundary felt out, without somebody noticing."""

from .plugin import TheftGuard as plugin

__all__ = ["plugin"]
