from __future__ import annotations

import os
from contextlib import closing

import pytest

from plugins.theft_guard import enforcements as enforcements_module
from plugins.theft_guard.enforcements import Enforcement, Enforcements
from secureml import Store, StoreUnavailable
from secureml.testing import Clock, Harness

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


def test_every_field_is_read_back_by_the_next_process_as_it_was_written(harness, enforcements):
    written = Enforcement("block", "2001:db8:1::/48", "m", "flag", 1.5, 12.25, 2**40, "a,b", 0.0)
    enforcements.save(written)
    harness.store.close()
    with closing(Store(f"sqlite:///{harness.folder / 'secureml.db'}")) as store:
        again = Enforcements(store, harness.clock)
        assert again.list_all() == [written]
        assert again.find("block", "2001:db8:1::/48", "m") == written


def test_two_workers_that_save_the_same_subject_at_once_leave_one_row(harness, enforcements):
    enforcements.save(HELD)
    harness.store.close()
    children = []
    for level in ("coarsen", "throttle"):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with closing(Store(f"sqlite:///{harness.folder / 'secureml.db'}")) as store:
                    mine = Enforcements(store, harness.clock)
                    for number in range(20):
                        mine.save(HELD._replace(level=level, rows=number))
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    (found,) = enforcements.list_all()
    assert (found.level in {"coarsen", "throttle"}, found.rows) == (True, 19)


def test_a_list_is_in_the_order_of_kind_name_and_model(enforcements):
    for kind, name, model in (("client", "b", "m"), ("client", "a", "n"), ("block", "z", "m"),
                              ("client", "a", "m")):  # fmt: skip
        enforcements.save(HELD._replace(kind=kind, name=name, model=model))
    found = [each[:3] for each in enforcements.list_all()]
    assert found == sorted(found)
    assert len(found) == 4


def test_a_lift_without_a_model_is_for_all_of_them_and_returns_what_was(enforcements, harness):
    for model in "nm":
        enforcements.save(HELD._replace(model=model))
    was = enforcements.lift("mallory", None)
    assert {each.model: each.level for each in was} == {"m": "hold", "n": "hold"}
    assert {each.level for each in enforcements.list_all()} == {"watched"}
    assert {each.lifted for each in enforcements.list_all()} == {harness.clock()}


def test_a_store_that_is_away_is_said_and_nobody_is_let_in_by_an_old_answer(tmp_path):
    (tmp_path / "s.db").mkdir()  # no database
    with closing(Store(f"sqlite:///{tmp_path / 's.db'}")) as store:
        broken = Enforcements(store, Clock())
        for ask in (
            lambda: broken.find("client", "mallory", "m"),
            broken.list_all,
            lambda: broken.save(HELD),
            lambda: broken.lift("mallory", None),
        ):
            with pytest.raises(StoreUnavailable):
                ask()


@pytest.mark.parametrize(("rows", "kept"), [(19, 19), (20, 20), (21, 20)])
def test_the_bound_is_reached_and_not_passed(enforcements, monkeypatch, rows, kept):
    monkeypatch.setattr(enforcements_module, "MAX_ROWS", 20)
    for number in range(rows):
        enforcements.save(HELD._replace(name=f"c{number}", level="flag", since=float(number)))
    assert len(enforcements.list_all()) == kept


def test_a_look_reads_nothing_while_nothing_changed(enforcements, monkeypatch):
    enforcements.find("client", "mallory", "m")
    monkeypatch.setattr(enforcements, "list_all", lambda: pytest.fail("read again"))
    assert enforcements.find("client", "mallory", "m") is None
