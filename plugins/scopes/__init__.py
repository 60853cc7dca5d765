"""Scopes: a caller does what its scopes and models say, and nothing else."""

from .plugin import Scopes as plugin

__all__ = ["plugin"]
