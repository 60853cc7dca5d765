"""Security contact: /.well-known/security.txt says where a weakness is reported."""

from .plugin import SecurityTxt as plugin

__all__ = ["plugin"]
