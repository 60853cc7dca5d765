"""Fixtures for secrets: a manager that answers as told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# pytest imports each test file on its own (importlib mode), so this folder is no package.
sys.path.insert(0, str(Path(__file__).parent))
from stub_manager import Stub


@pytest.fixture
def stub():
    """A secrets manager on loopback."""
    server = Stub()
    yield server
    server.close()
