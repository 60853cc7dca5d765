"""Anomaly: behaviour that this site has not seen before is noticed, and can be stopped."""

from .plugin import Anomaly as plugin

__all__ = ["plugin"]
