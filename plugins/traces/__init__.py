"""Traces: one span a request, with a child for each door, sent by OpenTelemetry."""

from .plugin import Traces as plugin

__all__ = ["plugin"]
