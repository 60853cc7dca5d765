"""Sessions: new at each sign-in, short, ended; and forms that prove themselves."""

from __future__ import annotations

import pytest

from plugins.oauth2_server import sessions as module
from plugins.oauth2_server.sessions import MAX_FAILURES, Sessions, csrf_token, verify_csrf


@pytest.fixture
def sessions(harness):
    return Sessions(harness.store, harness.clock, 100.0)


def test_a_cookie_names_a_person_for_a_while(sessions, harness):
    text = sessions.begin("ann")
    assert sessions.subject(text) == "ann"
    assert (sessions.subject(""), sessions.subject("x")) == (None, None)
    harness.clock.advance(100)
    assert sessions.subject(text) is None


def test_signing_in_again_ends_the_session_before(sessions):
    first = sessions.begin("ann")
    second = sessions.begin("ann", first)
    assert (sessions.subject(first), sessions.subject(second)) == (None, "ann")


def test_one_or_all_can_be_ended(sessions):
    first, second, other = (sessions.begin(name) for name in ("ann", "ann", "bob"))
    sessions.end(first)
    assert [sessions.subject(text) for text in (first, second)] == [None, "ann"]
    sessions.end_all("ann")
    assert [sessions.subject(text) for text in (second, other)] == [None, "bob"]


def test_guessing_ends_a_session(sessions):
    text = sessions.begin("ann")
    for _ in range(MAX_FAILURES):
        assert sessions.subject(text) == "ann"
        sessions.record_failure(text)
    assert sessions.subject(text) is None


def test_a_form_proves_its_cookie_and_its_purpose():
    proof = csrf_token("cookie", "/a?b")
    assert verify_csrf(proof, "cookie", "/a?b")
    assert not verify_csrf(proof, "other", "/a?b")
    assert not verify_csrf(proof, "cookie", "/a?c")
    assert not verify_csrf("é", "cookie", "/a?b")
    assert not verify_csrf(csrf_token("", "/a"), "", "/a")


def test_attack_signing_in_for_ever_fills_no_table(sessions, harness, monkeypatch):
    """One person is signed in so many times; the oldest ends, and another's goes on."""
    monkeypatch.setattr(module, "MOST", 3)
    other, mine = sessions.begin("bob"), []
    for _ in range(10):
        harness.clock.advance(0.1)
        mine.append(sessions.begin("ann"))

    assert [sessions.subject(text) for text in mine] == [None] * 7 + ["ann"] * 3
    assert sessions.subject(other) == "bob"
