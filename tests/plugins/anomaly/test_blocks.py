"""Who is blocked in one worker is blocked in all, until it is over or lifted."""

from __future__ import annotations

from contextlib import closing

import pytest
import sqlalchemy as sa

from plugins.anomaly import blocks as blocks_module
from plugins.anomaly.blocks import Block, Blocks
from plugins.anomaly.clock_skew import CLOCK_SKEW
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


@pytest.mark.parametrize("kind", ["ban", "hold"])
def test_a_hold_stays_whatever_comes_after_it(workers, clock, kind):
    """Only an operator ends it: a ban in its place, after a change of settings, would end alone."""
    (store, blocks), (_, other) = workers
    block(store, blocks, None, "hold")
    assert block(store, blocks, clock() + 60 if kind == "ban" else None, kind)
    clock.advance(10**6)
    assert other.find(WHO).kind == "hold"


def test_a_newer_ban_ends_later(workers, clock):
    (store, blocks), (_, other) = workers
    block(store, blocks, clock() + 60)
    block(store, blocks, clock() + 90)
    clock.advance(89)
    assert other.find(WHO).until == clock() + 1


def test_lifting_one_leaves_the_others(workers, clock):
    (store, blocks), (_, other) = workers
    put(store, blocks, "client:a", None, "hold")
    put(store, blocks, "client:b", clock() + 60)
    assert blocks.lift("client:a")
    assert not blocks.lift("client:c")
    assert [found.subject for found in other.list()] == ["client:b"]


def test_a_ban_that_is_over_is_not_lifted(workers, clock):
    (store, blocks), _ = workers
    block(store, blocks, clock() + 60)
    clock.advance(61)
    assert not blocks.lift(WHO)
    assert blocks.lifted_at() == {}


def test_a_lift_is_kept_when_it_was_lifted_and_not_when_it_was_blocked(workers, clock):
    (store, blocks), (_, other) = workers
    block(store, blocks, None, "hold")
    clock.advance(500)
    blocks.lift(WHO)
    clock.advance(500)
    assert other.lifted_at() == {WHO: clock() - 500}


def test_a_block_and_what_goes_with_it_are_saved_together_or_not_at_all(workers, clock):
    (store, blocks), (_, other) = workers
    broken = Block("client:b", "hold", 0.0, None, None)  # a reason is not null

    def add_both():
        with store.begin() as connection:
            assert blocks.add(connection, Block(WHO, "hold", 0.0, None, "reason"), 0.0)
            blocks.add(connection, broken, 0.0)

    with pytest.raises(sa.exc.IntegrityError):
        add_both()
    assert other.find(WHO) is None
    assert other.list() == []


def test_a_row_of_another_version_blocks_and_can_be_lifted(workers):
    """Nobody knows what it meant, so it is not ignored."""
    (store, blocks), (_, other) = workers
    put(store, blocks, WHO, None, "throttle")
    assert other.find(WHO).kind == "throttle"
    assert blocks.lift(WHO)
    assert other.find(WHO) is None


def test_an_operator_learns_that_blocks_are_removed_and_what_to_do(
    workers, clock, monkeypatch, caplog
):
    monkeypatch.setattr(blocks_module, "MAX_ROWS", 3)
    (store, blocks), _ = workers
    for number in range(3):
        put(store, blocks, f"address:{number}", clock() + 60)
    assert caplog.records == []
    put(store, blocks, "address:3", clock() + 60)
    [record] = caplog.records
    assert "the table anomaly_blocks has more than 3 rows" in record.getMessage()
    assert "fix: " in record.getMessage()


# A clock that is set back.

BAN = 900.0


def ban(store, blocks, clock):
    put(store, blocks, WHO, clock() + BAN, "ban", clock())


@pytest.mark.parametrize("back", [CLOCK_SKEW + 1, 3600.0, 3650 * 86400.0])
def test_a_ban_that_would_last_longer_than_was_said_is_over(workers, clock, back):
    (store, blocks), (_, other) = workers
    ban(store, blocks, clock)
    assert other.find(WHO)
    clock.advance(-back)
    assert other.find(WHO) is None
    assert other.list() == []
    assert not blocks.lift(WHO), "there is nothing to lift"


def test_a_ban_of_a_host_whose_clock_differs_a_little_counts(workers, clock):
    (store, blocks), (_, other) = workers
    ban(store, blocks, clock)
    clock.advance(-CLOCK_SKEW)
    assert other.find(WHO)
    assert blocks.lift(WHO)


@pytest.mark.parametrize("elapsed", [0.0, 1.0, 450.0, 899.0])
@pytest.mark.parametrize("back", [1.0, CLOCK_SKEW, 300.0, 450.0, 890.0, 10_000.0])
def test_no_ban_lasts_more_than_twice_its_time_however_the_clock_is_set(
    workers, clock, elapsed, back
):
    (store, blocks), (_, other) = workers
    ban(store, blocks, clock)
    clock.advance(elapsed)
    clock.advance(-back)
    lasted = elapsed
    while other.find(WHO):
        clock.advance(1)
        lasted += 1
        assert lasted <= 2 * BAN + CLOCK_SKEW


def test_a_hold_stays_however_the_clock_is_set(workers, clock):
    (store, blocks), (_, other) = workers
    put(store, blocks, WHO, None, "hold", clock())
    for step in (-(10**8), 10**9):
        clock.advance(step)
        assert other.find(WHO).kind == "hold"
    assert blocks.lift(WHO)


def test_a_ban_from_before_the_clock_was_set_back_can_be_renewed_and_is_not_kept(workers, clock):
    (store, blocks), (_, other) = workers
    ban(store, blocks, clock)
    put(store, blocks, "address:other", clock() + BAN, "ban", clock())
    clock.advance(-3600)
    ban(store, blocks, clock)
    assert other.find(WHO).until == clock() + BAN
    assert set(blocks._read()) == {WHO}


@pytest.mark.parametrize("back", [CLOCK_SKEW + 1, 3650 * 86400.0])
def test_a_lift_from_before_the_clock_was_set_back_forgives_until_now_and_not_for_years(
    workers, clock, back
):
    (store, blocks), (other_store, other) = workers
    block(store, blocks, None, "hold")
    blocks.lift(WHO)
    clock.advance(-back)
    now = clock()
    assert other.lifted_at() == {WHO: now}
    clock.advance(60)
    assert blocks.lifted_at() == {WHO: now}, "it is written down, and does not move on"
    assert not block(other_store, other, None, "hold", now)
    assert block(other_store, other, None, "hold", now + 1)
    assert blocks.find(WHO)


def test_a_lift_of_a_host_whose_clock_differs_a_little_stays_as_it_is(workers, clock):
    (store, blocks), (_, other) = workers
    block(store, blocks, None, "hold")
    blocks.lift(WHO)
    lifted = clock()
    clock.advance(-CLOCK_SKEW)
    assert other.lifted_at() == {WHO: lifted}


def test_a_block_is_no_lift_when_the_clock_is_set_back(workers, clock):
    (store, blocks), (_, other) = workers
    ban(store, blocks, clock)
    put(store, blocks, "client:held", None, "hold", clock())
    put(store, blocks, "client:lifted", None, "hold", clock())
    blocks.lift("client:lifted")
    held = clock()
    clock.advance(-3600)
    assert set(other.lifted_at()) == {"client:lifted"}
    assert blocks._read()["client:held"].since == held
