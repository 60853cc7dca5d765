"""People: added, found, changed, removed."""

from __future__ import annotations

import pytest

from plugins.oauth2_server import users as module
from plugins.oauth2_server.users import UserFault, Users

LONG = "twelve chars"


@pytest.fixture
def users(harness):
    return Users(harness.store, harness.clock, "hash of {}".format)


def test_a_password_is_kept_hashed(users):
    made = users.add("ann", "acme", LONG)
    assert users.get("ann") == made
    assert made.password == f"hash of {LONG}"
    assert LONG not in repr(made)
    assert users.list() == [made]


@pytest.mark.parametrize("name", ["", "Ann", "a b", "oc_1", "x" * 64, ".a"])
def test_a_name_cannot_be_mistaken(users, name):
    """Above all not for an OAuth client's id: both stand in `sub` (RFC 9068, 5)."""
    with pytest.raises(UserFault, match="no name"):
        users.add(name, "acme", LONG)


def test_a_short_password_and_a_second_ann_are_refused(users):
    with pytest.raises(UserFault, match="at least 12"):
        users.add("ann", "acme", "short")
    users.add("ann", "acme", LONG)
    with pytest.raises(UserFault, match="already"):
        users.add("ann", "acme", LONG)
    with pytest.raises(UserFault, match="at least 12"):
        users.set_password("ann", "short")


def test_changes_are_seen_by_another_worker_at_once(users, harness):
    other = Users(harness.store, harness.clock, str)
    users.add("ann", "acme", LONG)
    assert other.get("ann") is not None
    users.set_password("ann", "another password")
    assert other.get("ann").password == "hash of another password"
    users.remove("ann")
    assert other.get("ann") is None
    with pytest.raises(UserFault, match="no user"):
        users.remove("ann")
    with pytest.raises(UserFault, match="no user"):
        users.set_password("ann", LONG)


def test_names_from_outside_do_not_fill_the_memory(users, monkeypatch):
    monkeypatch.setattr(module, "CACHE_SIZE", 3)
    for number in range(10):
        assert users.get(f"u{number}") is None
    assert len(users._cache[1]) <= 3
