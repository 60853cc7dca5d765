"""What is kept moves a topic that verified tokens watch."""

from __future__ import annotations

from plugins.oauth2_server.plugin import TOPICS
from plugins.oauth2_server.store import TOPIC, always


def test_the_topic_is_the_one_that_verified_tokens_watch():
    assert TOPIC in TOPICS


def test_what_depends_on_nothing_may_be_written(harness):
    with harness.store.begin() as connection:
        assert always(connection) is True
