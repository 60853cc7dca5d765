"""Rights: what a scope allows, and how far it may be narrowed.

A right is ``SCOPE``, ``SCOPE@MODEL`` or ``SCOPE@MODEL@VERSION``: an operation on every model
granted, on one, or on one version of it. A narrower right is covered by every wider one, never
the other way round. Names of models may be narrowed alike: ``MODEL`` or ``MODEL@VERSION``.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_SCOPE = r"[a-z][a-z0-9:._-]{0,63}"
_MODEL = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}(@[1-9][0-9]{0,8})?"
RIGHT = re.compile(rf"{_SCOPE}(@{_MODEL})?", re.ASCII)
MODEL = re.compile(rf"\*|{_MODEL}", re.ASCII)
EVERY_MODEL = "*"


def implies(held: Collection[str], required: str) -> bool:
    """Tell whether a right is among those held, or narrower than one of them."""
    if required in held:
        return True
    scope, _, rest = required.partition("@")
    if not rest:
        return False
    return scope in held or f"{scope}@{rest.partition('@')[0]}" in held


def implies_all(held: Collection[str], required: Collection[str]) -> bool:
    """Tell whether every one of these rights is covered."""
    return all(implies(held, right) for right in required)


def intersect(one: Collection[str], other: Collection[str]) -> frozenset[str]:
    """Return the rights that both sides give: of two that overlap, the narrower."""
    return frozenset(
        [right for right in one if implies(other, right)]
        + [right for right in other if implies(one, right)]
    )


def permits(held: Collection[str], scope: str, model: str = "", version: str = "") -> bool:
    """Tell whether the rights held allow an operation, on this model where there is one."""
    if scope in held:
        return True
    if not model:
        return False
    return f"{scope}@{model}" in held or f"{scope}@{model}@{version}" in held


def may_use(models: Collection[str], model: str, version: str = "") -> bool:
    """Tell whether a model, in this version, is among those granted."""
    return EVERY_MODEL in models or model in models or f"{model}@{version}" in models
