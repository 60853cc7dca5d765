"""Families: what came of one trade lives and dies together, and is forgotten when it is over."""

from __future__ import annotations

from itertools import count

import pytest

from plugins.jwt.families import Families
from secureml.kit.token_families import FamilyEnded
from secureml.state.store import Store
from secureml.testing import Clock

KID = "k" * 43


@pytest.fixture
def clock():
    """A clock that stands."""
    return Clock()


@pytest.fixture
def store(tmp_path):
    """A real store."""
    made = Store(f"sqlite:///{tmp_path / 'secureml.db'}")
    yield made
    made.close()


@pytest.fixture
def families(store, clock):
    """Families with ids in a row."""
    numbers = count(1)
    return Families(store, clock, lambda: f"{next(numbers):032x}", most=3)


def begin(families, client="acme", origin="key-1", lifetime=1000.0):
    """Open a family."""
    return families.open(client, scopes={"predict"}, origin=origin, lifetime=lifetime)


def word(call, *facts, **more):
    """Return why it was refused, or None."""
    try:
        call(*facts, **more)
    except FamilyEnded as ended:
        return ended.reason
    return None


def stands(families, family, jti="j" * 32, kid=KID):
    """Return None when a token of the family stands, else why not."""
    return word(families.require_active, family.id, jti=jti, kid=kid)


def test_a_family_stands_from_its_first_moment_to_its_last(families, clock):
    """To the second."""
    family = begin(families)
    assert families.require_active(family.id, jti="j" * 32, kid=KID) == family
    clock.advance(999.9)
    assert stands(families, family) is None
    clock.advance(0.1)
    assert stands(families, family) == "family_expired"


def test_a_family_that_is_not_on_record_does_not_stand(families):
    """So an empty table opens nothing."""
    assert word(families.require_active, "0" * 32, jti="j" * 32, kid=KID) == "family_unknown"
    assert word(families.refresh, "0" * 32, "j" * 32) == "family_unknown"


def test_a_turn_gives_the_next_refresh_token_and_keeps_the_end(families, clock):
    """Thirty days are thirty days."""
    first = begin(families)
    clock.advance(10)
    second = families.refresh(first.id, first.current)

    assert second.current != first.current
    assert (second.id, second.expires, second.scopes) == (first.id, first.expires, first.scopes)


def test_every_way_to_end_ends_what_it_names_and_nothing_else(families, clock):
    """Families by id, client, origin or age."""

    def fresh():
        clock.advance(2000)
        mine = begin(families)
        clock.advance(1)
        return mine, begin(families, client="other", origin="key-2")

    for end in (
        lambda family: families.end(family.id),
        lambda family: families.end_client("acme"),
        lambda family: families.end_origin("key-1"),
        lambda family: families.end_before(family.created),
        lambda family: families.end_token(family.current, expires=clock() + 10),
    ):
        mine, other = fresh()
        end(mine)
        assert stands(families, mine) == "family_revoked"
        assert stands(families, other) is None


def test_ends_are_told_to_every_worker_and_trades_are_not(families, clock, store):
    """A trade concerns no token that was proven before, so it costs no worker its memory."""
    family = begin(families)
    families.refresh(family.id, family.current)
    assert store.version("jwt") == 0
    families.end_client("nobody")
    assert store.version("jwt") == 0
    families.end_client("acme")
    families.end_token("a" * 32, expires=clock() + 10)

    assert store.version("jwt") == 2


def test_what_is_over_is_forgotten(families, clock, store):
    """The tables do not grow with time."""
    begin(families)
    families.end_token("a" * 32, expires=clock() + 10)
    clock.advance(1000)
    last = begin(families)

    assert families.list() == [last]
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jwt_revoked").scalar() == 0


def test_a_client_cannot_fill_the_table(families, clock, store):
    """The oldest of its own give way, and every worker hears of it."""
    theirs = begin(families, client="other")
    mine = []
    for _ in range(5):
        clock.advance(1)
        mine.append(begin(families))

    assert families.list("acme") == mine[-3:]
    assert families.list("other") == [theirs]
    assert stands(families, mine[0]) == "family_unknown"
    assert store.version("jwt") == 2


def test_two_workers_cannot_both_use_one_refresh_token(families, clock, tmp_path):
    """One turns, the other is the replay, in whatever order."""
    family = begin(families)
    elsewhere = Store(f"sqlite:///{tmp_path / 'secureml.db'}")
    other = Families(elsewhere, clock, lambda: "e" * 32)

    assert word(other.refresh, family.id, family.current) is None
    assert word(families.refresh, family.id, family.current) == "replayed"
    elsewhere.close()


def test_a_family_ends_with_what_it_was_traded_for(families, clock):
    """However long its own life is; and nothing begins for what has ended."""
    family = families.open(
        "acme", scopes=["predict"], origin="k", lifetime=1000.0, until=clock() + 9
    )
    assert family.expires == clock() + 9
    assert families.refresh(family.id, family.current).expires == clock() + 9
    clock.advance(9)
    assert stands(families, family) == "family_expired"
    ended = {"scopes": ["predict"], "origin": "k", "lifetime": 1000.0, "until": clock()}
    assert word(families.open, "acme", **ended) == "origin_ended"


def test_a_trade_that_knows_the_key_as_it_was_obeys_a_rotation(families, clock):
    """The rotation is written down before the trade that was under way opens its family."""
    families.limit_origin("key-1", clock() + 60)
    assert begin(families).expires == clock() + 60
    clock.advance(61)
    assert word(begin, families) == "origin_ended"
    assert begin(families, origin="key-2")
