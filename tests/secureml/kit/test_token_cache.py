"""Verified credentials: remembered while what they stand on is unchanged, never across a change."""

from __future__ import annotations

from secureml.kit.token_cache import TokenCache, digest

TOPICS = ("clients", "signing_keys")


class Counters:
    """The store's counters; a change makes another mapping, as the store does."""

    def __init__(self):
        self.now = {}

    def change(self, topic):
        self.now = {**self.now, topic: self.now.get(topic, 0) + 1}

    def read(self):
        return self.now


def cache(topics=TOPICS, size=4096):
    """Return an empty cache and the counters it watches."""
    counters = Counters()
    return TokenCache(counters.read, topics, size=size), counters


def test_a_credential_is_remembered_until_it_ends():
    tokens, _ = cache()
    tokens.current().keep("one", 100.0, "ann")
    assert tokens.current().find("one", 99.9) == "ann"
    assert tokens.current().find("one", 100.0) is None
    assert tokens.current().find("two", 0.0) is None


def test_a_change_that_counts_forgets_and_another_does_not():
    tokens, counters = cache()
    tokens.current().keep("one", 100.0, "ann")
    counters.change("elsewhere")
    assert tokens.current().find("one", 0.0) == "ann"
    for topic in TOPICS:
        tokens.current().keep("one", 100.0, "ann")
        counters.change(topic)
        assert tokens.current().find("one", 0.0) is None


def test_without_topics_every_change_counts():
    tokens, counters = cache(topics=None)
    tokens.current().keep("one", 100.0, "ann")
    assert tokens.current().find("one", 0.0) == "ann"
    counters.change("anything")
    assert tokens.current().find("one", 0.0) is None


def test_attack_what_was_verified_before_a_change_is_not_believed_after_it():
    """Another thread saw the change meanwhile: a revoked token must not slip in behind it."""
    tokens, counters = cache()
    known = tokens.current()
    counters.change("clients")
    tokens.current()
    known.keep("one", 100.0, "ann")
    assert tokens.current().find("one", 0.0) is None


def test_attack_what_is_remembered_is_bounded():
    tokens, _ = cache(size=3)
    for number in range(10):
        tokens.current().keep(number, 100.0, "ann")
        tokens.current().keep(number, 200.0, "ann")
        assert tokens.current().find(number, 150.0) == "ann"
    assert sum(tokens.current().find(n, 0.0) is not None for n in range(10)) <= 3


def test_of_a_credential_its_digest_alone_is_kept():
    """Also of text that is no Latin-1, which no header can hold."""
    assert digest("secret") == digest("secret") != digest("secre")
    assert len(digest("\N{SNOWMAN}")) == 32
    assert b"secret" not in digest("secret")
