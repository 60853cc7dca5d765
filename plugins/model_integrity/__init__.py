"""Model integrity: nothing is loaded that no trusted key has signed."""

from .plugin import ModelIntegrity as plugin

__all__ = ["plugin"]
