"""Fixtures for secrets and stores: a manager that answers as told, and a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.postgresql_server import FOUND, MISSING, PostgresqlServer

# pytest imports each test file on its own (importlib mode), so this folder is no package.
sys.path.insert(0, str(Path(__file__).parent))
from stub_manager import Stub


@pytest.fixture
def stub():
    """A secrets manager on loopback."""
    server = Stub()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgresql():
    """A server on a unix socket only."""
    pytest.importorskip("psycopg", reason="pip install psycopg[binary]")
    if not FOUND:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    if os.geteuid() != 0 or not shutil.which("runuser"):
        pytest.skip("PostgreSQL is started as another user, which only root can do")
    # Not below pytest's own folder: that is root's alone, again with each further pytest.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = PostgresqlServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()
