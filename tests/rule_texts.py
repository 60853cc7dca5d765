"""Rules as they are written in a file."""

from __future__ import annotations

import json
from typing import Any


def one(rule: Any, name: str = "r", **more: Any) -> str:
    """Return a file with one rule."""
    lines = {"name": name, "rule": rule, **more}
    return "[[rules]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
