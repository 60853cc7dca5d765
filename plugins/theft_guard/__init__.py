"""Theft guard: notices when somebody copies a model or probes its decision boundary."""

from .plugin import TheftGuard as plugin

__all__ = ["plugin"]
