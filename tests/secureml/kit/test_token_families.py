"""Families of tokens: refreshed once, ended whole, and kept within bounds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from secureml.kit import token_families as module
from secureml.kit.token_families import FamilyEnded, FamilyTables, TokenFamilies, TokenFamily
from secureml.state.store import Store
from secureml.testing import Clock

METADATA = sa.MetaData()
DEVICE = sa.Column("device", sa.String(16), nullable=False)
FAMILIES = sa.Table("acme_families", METADATA, *module.family_columns(), DEVICE)
TABLES = FamilyTables(FAMILIES, sa.Table("acme_revoked", METADATA, *module.revoked_columns()))
A, B, C = "a" * 64, "b" * 64, "c" * 64
ID, OTHER = "1" * 32, "2" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(TokenFamily):
    """A family of a plugin that knows the device as well."""

    device: str


class Families(TokenFamilies[Family]):
    """As small as a plugin's own can be."""

    def open(self, family):
        """Put a family on record."""
        with self._store.begin() as connection:
            self._sweep(connection, FAMILIES.c.client == family.client)
            self._insert(connection, family)

    def list(self):
        """Return all."""
        return self._select()

    def end_device(self, device):
        """End those of one device."""
        return self._end_all(FAMILIES.c.device == device)


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


def build(store, clock):
    """Return families in a store; three of a client at most."""
    return Families(store, clock, tables=TABLES, record=Family, topic="acme", most=3)


@pytest.fixture
def families(store, clock):
    """Families in the store."""
    return build(store, clock)


@pytest.fixture
def begin(families, clock):
    """Begin a family, but for the changes."""

    def begin(name=ID, **changed):
        facts = {
            "id": name, "client": "acme", "scopes": frozenset({"predict", "models:read"}),
            "created": clock(), "expires": clock() + 100.0, "current": None, "revoked": None,
            "device": "phone",
        }  # fmt: skip
        family = Family(**{**facts, **changed})
        families.open(family)
        return family

    return begin


def reason(call, *facts, **more):
    """Return why it was refused."""
    with pytest.raises(FamilyEnded) as ended:
        call(*facts, **more)
    return ended.value.reason


def rows(store, table):
    """Return how many rows a table has."""
    with store.read() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()


def test_a_family_is_what_was_put_on_record_until_it_expires(families, begin, clock):
    family = begin(current=A)
    assert families.require_active(ID, "jti") == family
    clock.advance(99.9)
    assert families.require_active(ID, "jti") == family
    clock.advance(0.1)
    assert reason(families.require_active, ID, "jti") == "family_expired"


def test_a_family_that_is_not_on_record_opens_nothing(families):
    assert reason(families.require_active, ID, "jti") == "family_unknown"
    assert reason(families.rotate, ID, A, B) == "family_unknown"


def test_a_refresh_token_is_traded_once(families, begin):
    family = begin(current=A)
    rotated = families.rotate(ID, A, B)
    assert rotated == families.require_active(ID, "jti")
    assert (rotated.current, rotated.expires) == (B, family.expires)


def test_attack_a_refresh_token_used_twice_ends_its_family(families, begin):
    begin(current=A)
    families.rotate(ID, A, B)
    assert reason(families.rotate, ID, A, C) == "replayed"
    assert reason(families.rotate, ID, B, C) == "family_revoked"
    assert reason(families.require_active, ID, "jti") == "family_revoked"


def test_attack_two_workers_cannot_both_use_one_refresh_token(families, begin, clock, tmp_path):
    begin(current=A)
    elsewhere = Store(f"sqlite:///{tmp_path / 'secureml.db'}")
    assert build(elsewhere, clock).rotate(ID, A, B).current == B
    assert reason(families.rotate, ID, A, C) == "replayed"
    elsewhere.close()


def test_attack_a_refresh_token_of_one_family_does_not_refresh_another(families, begin):
    """And the family that is named ends: somebody has a token of it that does not count."""
    begin(current=A)
    begin(OTHER, current=B)
    assert reason(families.rotate, OTHER, A, C) == "replayed"
    assert families.rotate(ID, A, C)


def test_a_family_that_expired_is_not_refreshed(families, begin, clock):
    begin(current=A)
    clock.advance(100)
    assert reason(families.rotate, ID, A, B) == "family_expired"


def test_ending_one_ends_no_other_and_says_whether_it_was_active(families, begin):
    begin()
    begin(OTHER)
    assert [families.end(ID), families.end(ID)] == [True, False]
    assert reason(families.require_active, ID, "jti") == "family_revoked"
    assert families.require_active(OTHER, "jti")


def test_a_plugin_ends_by_what_it_keeps(families, begin):
    begin()
    begin(OTHER, device="laptop")
    assert [families.end_device("phone"), families.end_device("phone")] == [1, 0]
    assert families.require_active(OTHER, "jti")


def test_one_token_is_revoked_by_id_and_what_a_key_signed_by_its_name(families, begin, clock):
    begin()
    for _ in range(2):
        families.end_token("jti", clock() + 10, ID)
        families.end_key("kid", clock() + 10)
    assert reason(families.require_active, ID, "jti") == "token_revoked"
    assert reason(families.require_active, ID, "other", "kid") == "key_revoked"
    assert families.require_active(ID, "other", "another")
    assert families.require_active(ID, "kid", "jti")  # neither is taken for the other


def test_the_id_of_the_refresh_token_that_counts_ends_the_family(families, begin, store, clock):
    begin(current=A)
    families.end_token(A, clock() + 10)
    assert reason(families.require_active, ID, "jti") == "family_revoked"
    assert rows(store, "acme_revoked") == 0


def test_whatever_ends_moves_the_topic_and_a_refresh_does_not(families, begin, store, clock):
    """A refresh concerns no token that was verified before, so no worker forgets any."""
    begin(current=A)
    families.rotate(ID, A, B)
    families.end(OTHER)
    assert store.version("acme") == 0
    for number, end in enumerate(
        (
            lambda: families.end_token("jti", clock() + 10),
            lambda: families.end_key("kid", clock() + 10),
            lambda: families.end(ID),
        ),
        start=1,
    ):
        end()
        assert store.version("acme") == number


def test_what_expired_is_forgotten_with_the_next(families, begin, store, clock):
    begin()
    families.end_token("jti", clock() + 10)
    clock.advance(100)
    last = begin(OTHER)
    assert families.list() == [last]
    assert rows(store, "acme_revoked") == 0


def test_attack_one_client_cannot_fill_the_table(families, begin, store, clock):
    """The oldest of its own give way, and every worker is told."""
    theirs = begin(client="other")
    mine = []
    for number in range(5):
        clock.advance(1)
        mine.append(begin(f"{number:x}" * 32 if number != 1 else "f" * 32))
    assert families.list() == [theirs, *mine[-3:]]
    assert store.version("acme") == 2


def test_attack_revoking_token_by_token_fills_no_table(
    families, begin, store, clock, monkeypatch
):  # fmt: skip
    """At the bound the family of the next one ends: more is refused, never less."""
    monkeypatch.setattr(module, "MOST_REVOKED", 10)
    begin()
    begin(OTHER)
    for number in range(20):
        families.end_token(f"jti{number}", clock() + 50, ID)
    families.end_token("theirs", clock() + 50, OTHER)

    assert rows(store, "acme_revoked") == 11
    assert reason(families.require_active, ID, "another") == "family_revoked"
    assert reason(families.require_active, OTHER, "theirs") == "token_revoked"
    assert families.require_active(OTHER, "another")


def test_names_that_expired_count_no_more(families, begin, store, clock, monkeypatch):
    monkeypatch.setattr(module, "MOST_REVOKED", 2)
    begin()
    for number in range(2):
        families.end_token(f"jti{number}", clock() + 10, ID)
    clock.advance(11)
    families.end_token("again", clock() + 10, ID)
    assert reason(families.require_active, ID, "again") == "token_revoked"
    assert families.require_active(ID, "another")
