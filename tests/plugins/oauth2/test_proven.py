"""Proven tokens: remembered while what they stand on is unchanged, and never across a change."""

from __future__ import annotations

from plugins.oauth2 import proven
from plugins.oauth2.proven import Named, Proven, find, keep

NAMED = Named(100.0, "ann", None)


class Counters:
    """The store's counters; a change makes another object, as the store does."""

    def __init__(self):
        self.now = {}

    def change(self, topic):
        self.now = {**self.now, topic: self.now.get(topic, 0) + 1}


def test_a_token_is_remembered_until_it_ends():
    memory = Proven(dict)
    known = memory.current()
    keep(known, b"1", NAMED)
    assert find(memory.current(), b"1", 99.9) == NAMED
    assert find(memory.current(), b"1", 100.0) is None
    assert find(memory.current(), b"2", 0.0) is None


def test_a_change_that_counts_forgets_and_another_does_not():
    counters = Counters()
    memory = Proven(lambda: counters.now)
    keep(memory.current(), b"1", NAMED)
    counters.change("elsewhere")
    assert find(memory.current(), b"1", 0.0) == NAMED
    for topic in ("clients", "oauth2", "signing_keys"):
        keep(memory.current(), b"1", NAMED)
        counters.change(topic)
        assert find(memory.current(), b"1", 0.0) is None


def test_what_was_proven_before_a_change_is_not_kept_after_it():
    """Another thread saw the change meanwhile: a revoked token must not slip in behind it."""
    counters = Counters()
    memory = Proven(lambda: counters.now)
    known = memory.current()
    counters.change("oauth2")
    memory.current()
    keep(known, b"1", NAMED)
    assert find(memory.current(), b"1", 0.0) is None


def test_it_has_an_end(monkeypatch):
    monkeypatch.setattr(proven, "SIZE", 2)
    known = Proven(dict).current()
    for number in range(5):
        keep(known, bytes([number]), NAMED)
    assert len(known) <= 2
