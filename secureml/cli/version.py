"""Which version this checkout is: said once, in pyproject.toml, because nothing is installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def version() -> str:
    """Return the version, such as ``0.1.0``; raises OSError where the file is not there."""
    found = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    return str(found["project"]["version"])
