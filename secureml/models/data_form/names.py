"""The listed name of a type or function, which must stand for that very object."""

from __future__ import annotations

import sys
from collections.abc import Container
from typing import Any

import numpy as np


def full_name(thing: Any) -> str:
    """Return the name that a type or function gives itself."""
    return f"{getattr(thing, '__module__', None)}.{getattr(thing, '__qualname__', thing)}"


def listed_name(thing: Any, allowed: Container[str]) -> str | None:
    """Return a name on the list under which this very object is found; None where there is none."""
    names = [full_name(thing)]
    if isinstance(thing, np.ufunc):
        names += [f"numpy.{thing.__name__}", f"scipy.special.{thing.__name__}"]
    return next((name for name in names if name in allowed and _found(name) is thing), None)


def _found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)
