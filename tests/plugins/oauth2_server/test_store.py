"""What is asked of the store is what the application's store gives."""

from __future__ import annotations

import inspect

from plugins.oauth2_server.plugin import TOPICS
from plugins.oauth2_server.store import TOPIC, Store
from secureml import Store as CoreStore


def test_the_application_has_all_that_is_asked():
    for name in ("register", "begin", "read", "touch", "version"):
        assert inspect.isfunction(getattr(Store, name))
        assert callable(getattr(CoreStore, name))


def test_the_topic_is_the_one_that_verified_tokens_watch():
    assert TOPIC in TOPICS
