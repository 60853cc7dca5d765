"""Calibrating needs the library crepes; what is served of a calibration does not."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

INSTALL = "pip install --require-hashes -r tests/requirements.txt"


@pytest.fixture(scope="session")
def crepes():
    """Skip where the library is not installed; with CI=true that is a failure."""
    if find_spec("crepes") is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"crepes is not installed: {INSTALL}")
        pytest.skip(f"crepes is not installed: {INSTALL}")
    import crepes

    return crepes
