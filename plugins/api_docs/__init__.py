"""API docs: what this server offers, described for machines."""

from .plugin import ApiDocs as plugin

__all__ = ["plugin"]
