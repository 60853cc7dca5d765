from __future__ import annotations

import pytest

from plugins.theft_guard import register as register_module
from plugins.theft_guard.register import Entry, Register
from secureml.testing import Harness

HELD = Entry("client", "mallory", "m", "hold", 1.0, 40.0, 99, "near", 0.0)


@pytest.fixture
def harness(tmp_path):
    found = Harness(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def register(harness):
    return Register(harness.store, harness.clock)


def test_what_one_worker_writes_the_other_believes_at_once(register, harness):
    other = Register(harness.store, harness.clock)
    assert other.standing("client", "mallory", "m") is None
    register.put(HELD)

    assert other.standing("client", "mallory", "m") == HELD
    assert other.standing("client", "mallory", "other") is None


def test_a_lift_ends_what_stands_and_is_remembered_when_it_comes_again(register, harness):
    register.put(HELD)
    register.put(HELD._replace(model="n"))
    assert [entry.model for entry in register.lift("mallory", "m")] == ["m"]
    lifted = register.standing("client", "mallory", "m")

    assert (lifted.level, lifted.lifted) == ("watched", harness.clock())
    assert register.standing("client", "mallory", "n").level == "hold"
    register.put(HELD)
    assert register.standing("client", "mallory", "m").lifted == harness.clock()


def test_lifting_a_stranger_changes_nothing(register):
    assert register.lift("nobody", None) == []
    assert register.every() == []


def test_attack_many_address_blocks_fill_no_table(register, harness, monkeypatch):
    """Whoever holds one key and many addresses is many blocks; who is held goes last."""
    monkeypatch.setattr(register_module, "MOST", 20)
    register.put(HELD)
    for number in range(100):
        name = f"10.{number}.0.0/24"
        register.put(HELD._replace(kind="block", name=name, level="flag", since=100.0 + number))
        assert len(register.every()) <= 20
    other = Register(harness.store, harness.clock)
    assert other.standing("client", "mallory", "m") == HELD
    assert other.standing("block", "10.99.0.0/24", "m").level == "flag"
    assert other.standing("block", "10.0.0.0/24", "m") is None
    register.put(HELD._replace(kind="block", name="10.99.0.0/24", level="coarsen"))
    assert len(register.every()) == 20, "a level that changes takes no more room"


def test_attack_held_parties_have_a_bound_too(register, monkeypatch):
    monkeypatch.setattr(register_module, "MOST", 20)
    for number in range(50):
        register.put(HELD._replace(name=f"c{number}", since=float(number)))
    assert len(register.every()) == 20
    assert min(entry.since for entry in register.every()) == 30.0
