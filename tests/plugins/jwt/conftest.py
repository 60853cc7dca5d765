"""The house of the token tests; pytest imports files one by one, so its folder is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from token_house import TokenHouse


@pytest.fixture
def house(tmp_path):
    """A house with one client that may trade."""
    return TokenHouse(tmp_path)
