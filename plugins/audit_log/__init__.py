"""The audit log; see README.md."""

from .plugin import AuditLog as plugin

__all__ = ["plugin"]
