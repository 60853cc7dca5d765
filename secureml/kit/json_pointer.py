"""JSON pointers (RFC 6901): where in a request something is."""

from __future__ import annotations


def escape(name: str) -> str:
    """Return a name as one part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
