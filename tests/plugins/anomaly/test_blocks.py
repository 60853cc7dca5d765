"""Who is blocked in one worker is blocked in all, until it is over or lifted."""

from __future__ import annotations

from contextlib import closing

import pytest

from plugins.anomaly import blocks as blocks_module
from plugins.anomaly.blocks import Block, Blocks
from secureml import Store
from secureml.testing import Clock

WHO = "address:192.0.2.1"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workers(tmp_path, clock):
    """Two workers on one store."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield [(store, Blocks(store, clock)) for store in (one, other)]


def block(store, blocks, until, kind="ban", observed=0.0):
    with store.begin() as connection:
        return blocks.add(connection, Block(WHO, kind, 0.0, until, "reason"), observed)


def test_a_block_is_seen_by_the_other_worker_at_once(workers, clock):
    (store, blocks), (_, other) = workers
    assert other.find(WHO) is None
    block(store, blocks, clock() + 60)
    assert other.find(WHO).kind == "ban"
    assert other.find("address:192.0.2.2") is None


def test_a_ban_ends_by_itself_and_a_hold_does_not(workers, clock):
    (store, blocks), (_, other) = workers
    block(store, blocks, clock() + 60)
    clock.advance(60)
    assert other.find(WHO) is None
    assert blocks.list() == []
    block(store, blocks, None, "hold")
    clock.advance(10**8)
    assert other.find(WHO).kind == "hold"


def test_what_is_lifted_is_gone_for_all(workers, clock):
    (store, blocks), (_, other) = workers
    block(store, blocks, None, "hold")
    assert other.find(WHO)
    assert blocks.lift(WHO)
    assert other.find(WHO) is None
    assert not blocks.lift(WHO)


def test_what_was_observed_before_the_lifting_blocks_nobody_again(workers, clock):
    (store, blocks), (other_store, other) = workers
    assert block(store, blocks, None, "hold")
    observed = clock()
    clock.advance(1)
    blocks.lift(WHO)
    assert not block(other_store, other, None, "hold", observed)
    assert blocks.find(WHO) is None
    assert blocks.list() == []
    assert other.lifted_at() == {WHO: clock()}
    assert block(other_store, other, None, "hold", clock() + 1)
    assert blocks.find(WHO).kind == "hold"


def test_a_newer_block_takes_the_place_of_an_older(workers, clock):
    (store, blocks), _ = workers
    block(store, blocks, clock() + 60)
    block(store, blocks, None, "hold")
    assert [found.kind for found in blocks.list()] == ["hold"]


def test_looking_again_reads_nothing_while_nothing_changed(workers, monkeypatch):
    (_, blocks), _ = workers
    blocks.find(WHO)
    monkeypatch.setattr(blocks, "_read", lambda: pytest.fail("read again"))
    assert blocks.find(WHO) is None


def put(store, blocks, subject, until, kind="ban", since=0.0):
    with store.begin() as connection:
        assert blocks.add(connection, Block(subject, kind, since, until, "reason"), 0.0)


def test_attack_bans_that_are_over_are_not_kept(workers, clock):
    (store, blocks), (_, other) = workers
    for number in range(50):
        put(store, blocks, f"address:{number}", clock() + 60)
        clock.advance(61)
    assert len(blocks._read()) == 1
    assert other.list() == []


def test_attack_blocks_have_a_bound_and_a_held_client_goes_last(workers, clock, monkeypatch):
    """However many addresses strangers are banned by, nobody who is held comes in."""
    monkeypatch.setattr(blocks_module, "MAX_ROWS", 20)
    (store, blocks), (_, other) = workers
    put(store, blocks, "client:mallory", None, "hold")
    put(store, blocks, "client:lifted", None, "hold")
    blocks.lift("client:lifted")
    for number in range(100):
        put(store, blocks, f"address:{number}", clock() + 1000 + number)
        assert len(blocks._read()) <= 20
    assert other.find("client:mallory").kind == "hold"
    assert "client:lifted" not in blocks._read()
    assert other.find("address:99")
    assert not other.find("address:0"), "the ban that ends soonest gave way"


def test_attack_holds_have_a_bound_too(workers, clock, monkeypatch):
    monkeypatch.setattr(blocks_module, "MAX_ROWS", 20)
    (store, blocks), _ = workers
    for number in range(60):
        put(store, blocks, f"address:{number}", None, "hold", float(number))
    assert len(blocks.list()) == 20
    assert min(block.since for block in blocks.list()) == 40.0


def test_who_is_held_stays_held_for_what_it_did_and_not_for_being_refused_since(workers):
    """And no worker reads all blocks again for each window of a scanner that goes on."""
    (store, blocks), (_, other) = workers
    put(store, blocks, WHO, None, "hold", 5.0)
    assert other.find(WHO)
    before = store.version(blocks_module.TOPIC)
    with store.begin() as connection:
        assert blocks.add(connection, Block(WHO, "hold", 9.0, None, "refused 1.00"), 0.0)
    assert (other.find(WHO).since, other.find(WHO).reason) == (5.0, "reason")
    assert store.version(blocks_module.TOPIC) == before
