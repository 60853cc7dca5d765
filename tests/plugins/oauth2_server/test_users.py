"""People: added, found, changed, removed."""

from __future__ import annotations

import threading

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
    with pytest.raises(UserFault, match="not a name"):
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


@pytest.mark.parametrize("name", ["a", "0", "ann@example.org", "a-b.c", "x" * 63])
def test_a_name_may_be_an_address(users, name):
    assert users.add(name, "acme", LONG).name == name


@pytest.mark.parametrize(
    "name", ["ann\n", "ann\x00", "änn", "a/b", "-a", "@a", "a_b", "a:b", "ann "]
)
def test_a_name_holds_nothing_that_reads_as_something_else(users, name):
    """It stands in `sub`, in logs and on pages; a colon would end it in a Basic header."""
    with pytest.raises(UserFault, match="not a name"):
        users.add(name, "acme", LONG)


def test_a_password_may_be_long_and_of_any_letters(users):
    """ASVS 5.0, 6.2.9: nothing is cut off or forbidden."""
    for number, password in enumerate(["p" * 200, "äöü ß 日本語 paßwort", " " * 12, "\x00" * 12]):
        made = users.add(f"p{number}", "acme", password)
        assert made.password == f"hash of {password}"


def test_a_password_of_eleven_is_short_and_one_of_twelve_is_not(users):
    with pytest.raises(UserFault, match="at least 12"):
        users.add("ann", "acme", "p" * 11)
    assert users.get("ann") is None
    assert users.add("ann", "acme", "p" * 12)


def test_attack_names_too_long_to_be_one_are_not_remembered(users):
    """Four thousand of a kilobyte each would be four megabytes in every worker."""
    users.add("ann", "acme", LONG)
    assert users.get("ann")
    for number in range(50):
        assert users.get(f"{number}" + "x" * 4000) is None
    assert all(len(name) <= 63 for name in users._cache[1])


def test_of_two_who_add_one_name_at_once_one_is_told(users):
    gate, found = threading.Barrier(4), []

    def add(number):
        gate.wait()
        try:
            found.append(users.add("ann", f"client{number}", LONG).client)
        except UserFault:
            found.append(None)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [each for each in found if each]
    assert users.get("ann").client == winner


def test_a_password_is_unchanged_until_it_is_another_or_the_person_is_gone(users, harness):
    ann = users.add("ann", "acme", LONG)

    def unchanged():
        with harness.store.begin() as connection:
            return users.unchanged(connection, ann)

    assert unchanged()
    users.set_password("ann", "another password")
    assert not unchanged()
    users.remove("ann")
    assert not unchanged()
    users.add("ann", "acme", "yet another one")
    assert not unchanged()


def test_people_are_listed_by_name_without_their_passwords_in_sight(users):
    for name in ("carl", "ann", "bob"):
        users.add(name, "acme", LONG)
    assert [user.name for user in users.list()] == ["ann", "bob", "carl"]
    assert LONG not in repr(users.list())
