"""Explain: how much each feature of a row contributed to its answer."""

from .plugin import Explain as plugin

__all__ = ["plugin"]
