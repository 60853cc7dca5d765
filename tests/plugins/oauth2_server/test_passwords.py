"""Slow hashes: right, wrong, unknown, and remembered."""

from __future__ import annotations

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
