"""Metrics: what the server does, in numbers for Prometheus."""

from .plugin import Metrics as plugin

__all__ = ["plugin"]
