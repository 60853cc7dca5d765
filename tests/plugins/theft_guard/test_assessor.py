from __future__ import annotations

import numpy as np
import pytest

from plugins.theft_guard.assessor import (
    ALL,
    BLOCK,
    CLIENT,
    Assessor,
    Subject,
    _bit,
    subjects_of,
)
from plugins.theft_guard.batch import QueryBatch, row_digests
from plugins.theft_guard.detectors import DETECTORS
from plugins.theft_guard.escalation import Policy
from plugins.theft_guard.shared_table import SharedTable
from secureml.testing import Clock


def test_a_request_is_judged_with_its_client_its_block_and_everyone():
    assert [(p.kind, p.name) for p in subjects_of("alice", "192.0.2.1", "m")] == [
        (CLIENT, "alice"),
        (BLOCK, "192.0.2.0/24"),
        (ALL, "*"),
    ]
    assert [p.kind for p in subjects_of("alice", "", "m")] == [CLIENT, ALL]


POLICY = Policy(("coarsen", "throttle"), 10.0, 20, 5.0, 3, 100.0, lambda low, high: high)
SUSPICIOUS = np.full((40, len(DETECTORS)), 1, np.int8)


@pytest.fixture
def table(tmp_path):
    found = SharedTable(tmp_path / "table", {CLIENT: 8, BLOCK: 8, ALL: 8})
    yield found
    found.close()


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def assessor(table, clock):
    return Assessor(table, dict.fromkeys((CLIENT, BLOCK, ALL), POLICY), clock)


def unnamed(count, first=0):
    """Return rows of which only the digests matter."""
    digests = [(first + number + 1) << 20 for number in range(count)]
    return QueryBatch(np.zeros((count, 2)), None, np.zeros(count, int), digests)


def test_without_a_binner_new_rows_are_counted_and_nothing_is_suspected(assessor, table):
    alice = Subject(CLIENT, "alice", "m")
    found, findings = assessor.assess(alice, unnamed(200), None)
    assessor.assess(alice, unnamed(200), None)
    record = table.find(CLIENT, alice.key)

    assert (found.level, found.new_levels, findings) == (0, (), [])
    assert (int(record["rows"]), int(record["new_rows"])) == (400, 200)
    assert int(record["spent"]) == 200


def test_evidence_about_one_client_alone_says_nothing_about_its_block(assessor):
    block = Subject(BLOCK, "192.0.2.0/24", "m")
    alone = [assessor.assess_group(block, "alice", 40, [SUSPICIOUS]) for _ in range(3)]
    both = [assessor.assess_group(block, name, 40, [SUSPICIOUS]) for name in ("bob", "alice")]

    assert all(found.level == 0 for found in alone)
    assert both[0].new_levels[0] == "flag"
    assert both[0].score >= POLICY.threshold
    assert "label_flip" in both[0].reasons


def test_a_throttle_lasts_a_pause_for_each_new_row(assessor, table, clock):
    block = Subject(BLOCK, "192.0.2.0/24", "m")
    for name in ("alice", "bob"):
        found = assessor.assess_group(block, name, 40, [SUSPICIOUS])

    assert found.new_levels == ("flag", "coarsen", "throttle")
    assert float(table.find(BLOCK, block.key)["throttled_until"]) == clock() + 40 * POLICY.pause


def test_after_a_reset_the_evidence_is_gone_and_the_rows_stay_known(assessor, table, clock):
    alice = Subject(CLIENT, "alice", "m")
    assessor.assess(alice, unnamed(10), None)
    with table.locked(CLIENT, alice.key, clock()) as state:
        state.record["sums"], state.record["level"] = 50.0, 2
    assessor.reset(alice)
    assessor.assess(alice, unnamed(10), None)
    record = table.find(CLIENT, alice.key)

    assert not record["sums"].any()
    assert (int(record["level"]), int(record["new_rows"])) == (0, 10)


def test_models_are_assessed_apart(assessor, table):
    for model in ("m", "n"):
        assessor.assess(Subject(CLIENT, "alice", model), unnamed(5), None)
    assert int(table.find(CLIENT, "m alice")["rows"]) == 5
    assert table.find(CLIENT, "alice") is None


@pytest.mark.parametrize("seed", range(5))
def test_a_record_of_random_numbers_neither_fails_nor_reaches_a_level_that_is_none(
    assessor, table, target, binner, clock, seed
):
    """A damaged file: whatever it holds, the request is assessed."""
    alice = Subject(CLIENT, "alice", "m")
    with table.locked(CLIENT, alice.key, clock()) as state:
        noise = np.random.default_rng(seed)
        for field in ("sums", "decayed", "increments", "mean", "ring", "labels", "counts"):
            state.record[field] = noise.integers(-(2**20), 2**20, state.record[field].shape)
        state.record["level"], state.record["columns"] = noise.integers(-(2**31), 2**31 - 1, 2)
        state.record["kept"] = noise.integers(0, 2**60)
    rows = target.fresh[:3]
    queries = QueryBatch(rows, None, np.zeros(3, int), row_digests(rows, b"k"))
    found, _ = assessor.assess(alice, queries, binner)

    assert 0 <= found.level < len(POLICY.levels)


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.0", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.0/24"),
        ("192.0.2.255", "192.0.2.0/24"),
        ("192.0.3.0", "192.0.3.0/24"),
        ("2001:db8:1:ffff:ffff:ffff:ffff:ffff", "2001:db8:1::/48"),
        ("2001:db8:2::", "2001:db8:2::/48"),
        ("::1", "::/48"),
        ("x" * 100, "x" * 45),
        ("192.0.2.300", "192.0.2.300"),
    ],
)
def test_a_block_ends_where_the_next_begins_and_other_text_has_a_bound(address, block):
    assert next(p.name for p in subjects_of("alice", address, "m") if p.kind == BLOCK) == block


def test_a_subject_has_one_record_for_each_model():
    keys = {Subject(CLIENT, name, model).key for name in ("a", "b") for model in ("m", "n")}
    assert len(keys) == 4


@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 300])
def test_rows_of_a_request_are_counted_whatever_the_pieces_it_is_judged_in(
    assessor, table, binner, target, rows
):
    alice = Subject(CLIENT, "alice", "m")
    sent = np.vstack([target.fresh, target.train])[:rows]
    queries = QueryBatch(sent, None, np.zeros(rows, int), row_digests(sent, b"k"))
    found, findings = assessor.assess(alice, queries, binner)
    again, none = assessor.assess(alice, queries, binner)
    record = table.find(CLIENT, alice.key)

    assert found.rows == rows
    assert sum(map(len, findings)) == int(record["new_rows"]) == int(record["spent"])
    assert int(record["new_rows"]) == int(record["judged"]) == int(record["kept"]) == rows
    assert (again.rows, none) == (2 * rows, [])


def test_a_request_of_known_rows_alone_starts_no_new_pause(assessor, table, clock):
    alice = Subject(CLIENT, "alice", "m")
    assessor.assess(alice, unnamed(10), None)
    with table.locked(CLIENT, alice.key, clock()) as state:
        state.record["sums"], state.record["level"] = 50.0, POLICY.levels.index("throttle")
    assessor.assess(alice, unnamed(10), None)
    assert float(table.find(CLIENT, alice.key)["throttled_until"]) == 0.0
    assessor.assess(alice, unnamed(1, first=50), None)
    assert float(table.find(CLIENT, alice.key)["throttled_until"]) == clock() + POLICY.pause


@pytest.mark.parametrize(("level", "paused"), [("watched", False), ("flag", False),
                                               ("coarsen", False), ("throttle", True)])  # fmt: skip
def test_only_from_the_throttle_on_new_rows_cost_a_pause(assessor, table, clock, level, paused):
    alice = Subject(CLIENT, "alice", "m")
    with table.locked(CLIENT, alice.key, clock()) as state:
        place = POLICY.levels.index(level)
        state.record["level"], state.record["sums"] = place, 5.0 * (place > 0)
    assessor.assess(alice, unnamed(3), None)
    assert bool(table.find(CLIENT, alice.key)["throttled_until"]) == paused


def test_a_budget_is_the_clients_alone(assessor, table):
    block = Subject(BLOCK, "192.0.2.0/24", "m")
    assessor.assess_group(block, "alice", 40, [SUSPICIOUS])
    assert int(table.find(BLOCK, block.key)["new_rows"]) == 40
    assert int(table.find(BLOCK, block.key)["spent"]) == 0


def test_reasons_are_told_with_a_level_that_is_new_and_not_again(assessor):
    block = Subject(BLOCK, "192.0.2.0/24", "m")
    assessor.assess_group(block, "alice", 1, [])
    told = assessor.assess_group(block, "bob", 40, [SUSPICIOUS])
    then = assessor.assess_group(block, "bob", 1, [])

    assert told.reasons
    assert told.score > 0
    assert (then.new_levels, then.reasons, then.score) == ((), (), 0.0)
    assert then.level == told.level


def test_clients_are_told_apart_by_a_bit_of_64_and_one_alone_is_never_two():
    """Two clients may share a bit; they count as one then, which flags later and never sooner."""
    bits = [_bit(f"client-{number}") for number in range(1000)]
    assert all(bit.bit_count() == 1 and bit < 2**64 for bit in bits)
    assert len(set(bits)) > 60
    assert _bit("alice") == _bit("alice")


def test_what_two_workers_assess_is_one_record(tmp_path, clock):
    """Two tables over one file, as two processes have them."""
    tables = [SharedTable(tmp_path / "both", {CLIENT: 8, BLOCK: 8, ALL: 8}) for _ in range(2)]
    policies = dict.fromkeys((CLIENT, BLOCK, ALL), POLICY)
    one, other = (Assessor(table, policies, clock) for table in tables)
    alice = Subject(CLIENT, "alice", "m")
    for number in range(10):
        (one, other)[number % 2].assess(alice, unnamed(5, first=5 * number), None)
        (other, one)[number % 2].assess(alice, unnamed(5, first=5 * number), None)
    record = tables[0].find(CLIENT, alice.key)

    assert (int(record["rows"]), int(record["new_rows"])) == (100, 50)
    for table in tables:
        table.close()


def test_a_table_that_cannot_be_opened_raises_what_the_plugin_turns_into_a_503(tmp_path, clock):
    (tmp_path / "file").write_text("no folder")
    table = SharedTable(tmp_path / "file" / "table", {CLIENT: 8, BLOCK: 8, ALL: 8})
    broken = Assessor(table, dict.fromkeys((CLIENT, BLOCK, ALL), POLICY), clock)
    for act in (
        lambda: broken.assess(Subject(CLIENT, "alice", "m"), unnamed(1), None),
        lambda: broken.assess_group(Subject(BLOCK, "b", "m"), "alice", 1, []),
        lambda: broken.reset(Subject(CLIENT, "alice", "m")),
    ):
        with pytest.raises(OSError):
            act()
