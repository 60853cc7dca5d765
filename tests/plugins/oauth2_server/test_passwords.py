"""Slow hashes: right, wrong, unknown, and remembered."""

from __future__ import annotations

import threading

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from plugins.oauth2_server import passwords as module
from plugins.oauth2_server.passwords import Passwords


@pytest.fixture
def passwords():
    return Passwords()


@pytest.fixture
def worked(monkeypatch):
    """The hashes that were compared, one entry for each slow hash."""
    work = []
    real = Passwords._matches
    monkeypatch.setattr(
        Passwords, "_matches", lambda self, t, h: work.append(h) or real(self, t, h)
    )
    return work


def test_the_hash_is_at_least_what_asvs_asks(passwords):
    found = extract_parameters(passwords.hash("x"))
    assert (found.type, found.parallelism) == (Type.ID, 1)
    assert found.time_cost >= 2
    assert found.memory_cost >= 19 * 1024


def test_right_wrong_unknown_and_too_long(passwords):
    hashed = passwords.hash("right")
    assert passwords.verify("right", hashed)
    assert not passwords.verify("wrong", hashed)
    assert not passwords.verify("right", None)
    long = "x" * module.LONGEST
    assert not passwords.verify(long + "y", passwords.hash(long))
    assert not passwords.verify("right", "no hash at all")


def test_an_unknown_name_costs_one_hash_like_a_wrong_secret(passwords, worked):
    passwords.verify("x", passwords.hash("y"))
    passwords.verify("x", None)
    assert len(worked) == 2
    assert extract_parameters(worked[0]) == extract_parameters(worked[1])


def test_a_right_secret_costs_once_and_a_wrong_one_each_time(passwords, worked):
    hashed = passwords.hash("right")
    assert [passwords.verify_again("right", hashed) for _ in range(3)] == [True] * 3
    assert len(worked) == 1
    assert [passwords.verify_again("wrong", hashed) for _ in range(3)] == [False] * 3
    assert len(worked) == 4
    assert not passwords.verify_again("right", None)


def test_a_rotated_secret_is_not_remembered(passwords):
    assert passwords.verify_again("right", passwords.hash("right"))
    assert not passwords.verify_again("right", passwords.hash("other"))


def test_what_is_remembered_has_an_end_and_holds_no_secret(passwords, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for word in "abc":
        assert passwords.verify_again(word, passwords.hash(word))
    assert len(passwords._known) <= 2
    assert "right" not in repr(vars(passwords))


def test_a_hash_is_another_each_time_and_holds_no_secret(passwords):
    first, second = passwords.hash("a secret of mine"), passwords.hash("a secret of mine")
    assert first != second  # each has its own salt
    assert "a secret of mine" not in first


@pytest.mark.parametrize("text", ["", "\x00", "right\x00", "Right", "right ", "ríght", "righ"])
def test_nearly_right_is_wrong(passwords, text):
    assert not passwords.verify(text, passwords.hash("right"))


@pytest.mark.parametrize(
    "hashed", ["", "x", "$argon2id$", "$argon2id$v=19$m=1,t=1,p=1$x$y", "right"]
)
def test_what_is_no_hash_lets_nobody_in(passwords, hashed):
    """A row that somebody wrote by hand, or that was cut off."""
    assert not passwords.verify("right", hashed)
    assert not passwords.verify_again("right", hashed)


def test_a_wrong_secret_is_not_remembered_and_keeps_out_no_right_one(passwords, worked):
    hashed = passwords.hash("right")
    for _ in range(3):
        assert not passwords.verify_again("wrong", hashed)
    assert passwords.verify_again("right", hashed)
    assert not passwords.verify_again("wrong", hashed)
    assert len(worked) == 5


def test_what_one_process_remembers_no_other_can_use(passwords):
    """The key is of the process: a dump of one tells nothing about another."""
    hashed, other = passwords.hash("right"), Passwords()
    assert passwords.verify_again("right", hashed)
    assert other.verify_again("right", hashed)
    assert not set(passwords._known) & set(other._known)
    assert b"right" not in b"".join(passwords._known)


def test_attack_slow_hashes_at_once_are_few(passwords, monkeypatch):
    """19 MiB and a core each: strangers choose how many ask, and not how many run."""
    inside, done = threading.Barrier(module.AT_ONCE + 1), threading.Event()

    class Hasher:
        def verify(self, _hashed, _text):
            inside.wait(10)
            done.wait(10)
            return False

    monkeypatch.setattr(passwords, "_hasher", Hasher())
    threads = [
        threading.Thread(target=passwords._matches, args=("x", "y")) for _ in range(module.AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    inside.wait(10)
    one_more = passwords._turns.acquire(blocking=False)
    done.set()
    for thread in threads:
        thread.join()
    assert not one_more
    assert passwords._turns.acquire(blocking=False)


def test_a_turn_comes_back_where_a_hash_could_not_be_read(passwords):
    """Else two broken rows would end every sign-in of the process."""
    for _ in range(module.AT_ONCE + 1):
        assert not passwords.verify("x", "no hash at all")
    assert passwords.verify("right", passwords.hash("right"))
