"""The application of the token tests; pytest imports files one by one, so its folder is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from token_app import TokenApp


@pytest.fixture
def core(tmp_path):
    """An application with one client that may trade."""
    return TokenApp(tmp_path)
