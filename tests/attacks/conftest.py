"""The application under attack; pytest imports files one by one, so its folder is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from token_app import TokenApp


@pytest.fixture
def core(tmp_path):
    """An application with one client that may trade."""
    return TokenApp(tmp_path)


@pytest.fixture
def token(core):
    """A good access token."""
    return core.pair()["access_token"]
