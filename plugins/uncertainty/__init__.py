"""Uncertainty: an answer says how far it can be relied on."""

from .plugin import Uncertainty as plugin

__all__ = ["plugin"]
