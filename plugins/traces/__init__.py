"""Traces: one span a request, with a child for each phase, sent by OpenTelemetry."""

from .plugin import Traces as plugin

__all__ = ["plugin"]
