from __future__ import annotations

import pytest

from plugins.theft_guard import enforcements as enforcements_module
from plugins.theft_guard.enforcements import Enforcement, Enforcements
from secureml.testing import Harness

HELD = Enforcement("client", "mallory", "m", "hold", 1.0, 40.0, 99, "nearest", 0.0)


@pytest.fixture
def harness(tmp_path):
    found = Harness(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def enforcements(harness):
    return Enforcements(harness.store, harness.clock)


def test_what_one_worker_writes_the_other_reads_at_once(enforcements, harness):
    other = Enforcements(harness.store, harness.clock)
    assert other.find("client", "mallory", "m") is None
    enforcements.save(HELD)

    assert other.find("client", "mallory", "m") == HELD
    assert other.find("client", "mallory", "other") is None


def test_a_lift_ends_an_enforcement_and_is_remembered_when_it_comes_again(enforcements, harness):
    enforcements.save(HELD)
    enforcements.save(HELD._replace(model="n"))
    assert [enforcement.model for enforcement in enforcements.lift("mallory", "m")] == ["m"]
    lifted = enforcements.find("client", "mallory", "m")

    assert (lifted.level, lifted.lifted) == ("watched", harness.clock())
    assert enforcements.find("client", "mallory", "n").level == "hold"
    enforcements.save(HELD)
    assert enforcements.find("client", "mallory", "m").lifted == harness.clock()


def test_lifting_a_stranger_changes_nothing(enforcements):
    assert enforcements.lift("nobody", None) == []
    assert enforcements.list_all() == []


def test_attack_many_address_blocks_fill_no_table(enforcements, harness, monkeypatch):
    """Whoever holds one key and many addresses is many blocks; who is held goes last."""
    monkeypatch.setattr(enforcements_module, "MAX_ROWS", 20)
    enforcements.save(HELD)
    for number in range(100):
        name = f"10.{number}.0.0/24"
        enforcements.save(
            HELD._replace(kind="block", name=name, level="flag", since=100.0 + number)
        )
        assert len(enforcements.list_all()) <= 20
    other = Enforcements(harness.store, harness.clock)
    assert other.find("client", "mallory", "m") == HELD
    assert other.find("block", "10.99.0.0/24", "m").level == "flag"
    assert other.find("block", "10.0.0.0/24", "m") is None
    enforcements.save(HELD._replace(kind="block", name="10.99.0.0/24", level="coarsen"))
    assert len(enforcements.list_all()) == 20, "a level that changes takes no more room"


def test_attack_holds_have_a_bound_too(enforcements, monkeypatch):
    monkeypatch.setattr(enforcements_module, "MAX_ROWS", 20)
    for number in range(50):
        enforcements.save(HELD._replace(name=f"c{number}", since=float(number)))
    assert len(enforcements.list_all()) == 20
    assert min(enforcement.since for enforcement in enforcements.list_all()) == 30.0
