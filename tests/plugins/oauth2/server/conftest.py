"""A store, and the whole house, for the parts of the authorization server."""

from __future__ import annotations

import pytest

from secureml.testing import Harness
from tests.oauth_house import OAuthHouse


@pytest.fixture
def harness(tmp_path):
    made = Harness(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def house(tmp_path):
    made = OAuthHouse(tmp_path)
    yield made
    made.close()
