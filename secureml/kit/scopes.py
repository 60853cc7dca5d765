"""What a scope covers, for a plugin that identifies callers or issues credentials.

Needed where the rights of a credential and those of its client must both hold (`intersect`), or
where a caller may ask for fewer rights than it has (`implies`, `implies_all`).
"""

from __future__ import annotations

from secureml.state.scopes import implies, implies_all, intersect

__all__ = ["implies", "implies_all", "intersect"]
