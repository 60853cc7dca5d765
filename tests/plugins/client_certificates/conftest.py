"""Certificates minted on the spot, around the application's own clock."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from made_certificates import Authority

from secureml.testing import START, Harness


@pytest.fixture(scope="session")
def authority():
    """The clients' authority."""
    return Authority(START)


@pytest.fixture(scope="session")
def leaf(authority):
    """A good client certificate with one name."""
    return authority.sign()


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store, and the client acme."""
    made = Harness(tmp_path)
    made.clients.add("acme", tier="gold", models=["iris"])
    yield made
    made.store.close()
