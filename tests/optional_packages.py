"""Packages that a test needs and the product does not: without one it skips, and fails where
everything must be there (CI=true).
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

LINE = ".venv/bin/pip install --require-hashes -r tests/requirements.txt"


def need(*modules: str) -> Any:
    """Return the first of the modules, imported; skip the test where one is missing."""
    found = [_imported(module) for module in modules]
    return found[0]


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"{module} is not installed ({error}): {LINE}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
