"""Anomaly: notices clients and addresses that behave unusually here, and can block them."""

from .plugin import Anomaly as plugin

__all__ = ["plugin"]
