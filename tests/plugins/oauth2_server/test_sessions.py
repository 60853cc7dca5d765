"""Sessions: new at each sign-in, short, ended; and forms that prove themselves."""

from __future__ import annotations

import threading

import pytest

from plugins.oauth2_server import sessions as module
from plugins.oauth2_server.opaque_tokens import digest
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


def test_nobody_is_signed_in_where_the_condition_does_not_hold(sessions):
    """And whoever was before goes on: nothing was written."""
    before = sessions.begin("ann")
    assert sessions.begin("ann", before, still=lambda _connection: False) is None
    assert sessions.subject(before) == "ann"


def test_the_store_holds_no_cookie(sessions, harness):
    text = sessions.begin("ann")
    written = b"".join(path.read_bytes() for path in harness.folder.glob("secureml.db*"))
    assert digest(text).encode() in written
    assert text.encode() not in written


def test_a_cookie_is_not_guessed(sessions):
    """256 bits, by the system's randomness (OWASP ASVS 5.0, 7.2.3)."""
    texts = {sessions.begin("ann") for _ in range(20)}
    assert len(texts) == 20
    assert all(len(text) >= 43 for text in texts)


@pytest.mark.parametrize("text", ["", " ", "x", "\x00", "\udc80", "x" * 9000, "' OR 1=1--"])
def test_what_is_no_cookie_is_nobodys(sessions, text):
    sessions.begin("ann")
    assert sessions.subject(text) is None
    sessions.record_failure(text)
    sessions.end(text)
    assert sessions.subject(sessions.begin("bob")) == "bob"


def test_attack_a_cookie_planted_before_the_sign_in_is_never_one(sessions):
    """A text that an attacker chose does not become a session by somebody's password."""
    planted = "planted" * 7
    text = sessions.begin("ann", planted)
    assert text != planted
    assert sessions.subject(planted) is None


def test_a_session_does_not_grow_older_than_it_may(sessions, harness):
    """It is not renewed by use (ASVS 5.0, 7.3.2)."""
    text = sessions.begin("ann")
    for _ in range(9):
        harness.clock.advance(10)
        assert sessions.subject(text) == "ann"
    harness.clock.advance(10)
    assert sessions.subject(text) is None


def test_what_is_over_is_swept(sessions, harness):
    for _ in range(5):
        sessions.begin("ann")
    harness.clock.advance(100)
    sessions.begin("bob")
    with harness.store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM oauth2_sessions").scalar() == 1


def test_attack_guesses_sent_at_once_are_all_counted(sessions):
    """A session's ten guesses are ten, however they are sent."""
    text, gate = sessions.begin("ann"), threading.Barrier(MAX_FAILURES)

    def guess():
        gate.wait()
        sessions.record_failure(text)

    threads = [threading.Thread(target=guess) for _ in range(MAX_FAILURES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sessions.subject(text) is None


def test_guesses_in_one_session_end_no_other(sessions):
    first, second = sessions.begin("ann"), sessions.begin("ann")
    for _ in range(MAX_FAILURES):
        sessions.record_failure(first)
    assert (sessions.subject(first), sessions.subject(second)) == (None, "ann")


@pytest.mark.parametrize("purpose", ["", "/oauth2/device", "/oauth2/authorize?é", "\udc80"])
def test_a_proof_is_of_one_cookie_and_one_purpose(purpose):
    proof = csrf_token("cookie", purpose)
    assert verify_csrf(proof, "cookie", purpose)
    for given in ("", proof[:-1], proof + "0", proof.upper(), csrf_token("cookie", purpose + "x")):
        assert not verify_csrf(given, "cookie", purpose)
