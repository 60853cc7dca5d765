"""A store, and the whole application, for the parts of the authorization server."""

from __future__ import annotations

import pytest

from secureml.testing import Harness
from tests.oauth_app import OAuthApp


@pytest.fixture
def harness(tmp_path):
    made = Harness(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def core(tmp_path):
    made = OAuthApp(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An application for the many refusals of one file, which change nothing in it."""
    made = OAuthApp(tmp_path_factory.mktemp("shared"))
    yield made
    made.close()
