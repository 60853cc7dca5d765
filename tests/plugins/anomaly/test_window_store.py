"""Windows of all workers are added up, scored once, by one, and none is lost with a worker."""

from __future__ import annotations

import json
import threading
from contextlib import closing

import pytest
import sqlalchemy as sa

from plugins.anomaly import window_store
from plugins.anomaly.clock_skew import CLOCK_SKEW
from plugins.anomaly.window import Window
from plugins.anomaly.window_store import SubjectScore, WindowStore
from secureml import Store
from secureml.testing import Clock
from tests import anomaly_rows as rows

DAY = 86400.0
WHO = "client:a"


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def workers(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield [WindowStore(store, clock, max_rows=5) for store in (one, other)]


def save_scores(window_store, since, scored_until, scores=()):
    with window_store.begin() as connection:
        return window_store.save_scores(connection, since, scored_until, scores)


def write(window_store, counts, subject=WHO, start=60.0):
    """Put a row of counts in the store as it stands."""
    rows.run(
        window_store._store,
        "INSERT INTO anomaly_windows (subject, start, counts) VALUES (:subject, :start, :counts)",
        subject=subject,
        start=start,
        counts=counts,
    )


def count(window_store, table):
    [(found,)] = rows.look(window_store._store, f"SELECT count(*) FROM {table}")
    return found


# Windows.


def test_what_two_workers_counted_is_one_window(workers):
    one, other = workers
    one.write({(WHO, 60.0): Window(requests=3, paths=1)})
    other.write({(WHO, 60.0): Window(requests=4, paths=2), ("client:b", 60.0): Window(1)})
    one.write({(WHO, 60.0): Window(requests=1)})
    found = one.complete(0, 120)
    assert found[WHO, 60.0].requests == 8
    assert found[WHO, 60.0].paths == 3
    assert found["client:b", 60.0].requests == 1
    assert one.complete(120, 180) == {}


def test_a_span_has_its_first_moment_and_not_its_last(workers):
    one, _ = workers
    one.write({(WHO, 60.0 * number): Window(requests=1) for number in range(4)})
    assert [start for _, start in one.complete(60.0, 180.0)] == [60.0, 120.0]


def test_windows_come_in_the_order_of_time_and_not_of_writing(workers):
    one, other = workers
    other.write({("client:b", 120.0): Window(requests=1)})
    one.write({(WHO, 60.0): Window(requests=1)})
    other.write({(WHO, 180.0): Window(requests=1)})
    assert [start for _, start in one.complete(0, 1000)] == [60.0, 120.0, 180.0]


def test_nothing_counted_is_nothing_written(workers):
    workers[0].write({})
    assert workers[0].complete(0, 1e12) == {}


def test_an_empty_window_is_a_window_of_no_requests(workers):
    one, _ = workers
    one.write({(WHO, 60.0): Window()})
    assert one.complete(0, 120) == {(WHO, 60.0): Window()}


def test_only_so_many_rows_are_kept(workers):
    one, _ = workers
    for number in range(20):
        one.write({(WHO, float(number)): Window(requests=1)})
    assert len(one.complete(0, 100)) == 5
    assert min(start for _, start in one.complete(0, 100)) == 15.0


def test_attack_windows_have_an_end_while_nobody_has_trained(workers):
    """Nobody has ever held the lease, as on every new server."""
    one, other = workers
    for number in range(40):
        (one, other)[number % 2].write(
            {(f"address:192.0.2.{number}", 60.0 * each): Window(requests=1) for each in range(3)}
        )
        assert count(one, "anomaly_windows") <= 5
    assert {subject for subject, _ in one.complete(0, 1e12)} == {"address:192.0.2.38",
                                                             "address:192.0.2.39"}  # fmt: skip


# Rows that another version or a fault left.


@pytest.mark.parametrize("text", rows.UNREADABLE.values(), ids=rows.UNREADABLE)
def test_a_row_that_cannot_be_read_does_not_count_and_the_others_do(workers, text, caplog):
    one, other = workers
    one.write({(WHO, 60.0): Window(requests=3)})
    write(one, text)
    other.write({(WHO, 60.0): Window(requests=4)})
    assert {key: window.requests for key, window in one.complete(0, 120).items()} == {
        (WHO, 60.0): 7
    }
    [record] = caplog.records
    assert "1 rows of the table anomaly_windows" in record.getMessage()
    assert "fix: " in record.getMessage()


@pytest.mark.parametrize(
    "change",
    [
        {"requests": None},
        {"requests": "3"},
        {"requests": -1},
        {"requests": 2**63},
        {"requests": True},
        {"requests": 1.0},
        {"paths": 7},
        {"paths": ""},
        {"paths": "g"},
        {"paths": "-1"},
        {"paths": "1_0"},
        {"paths": "f" * 17},
        {"labels": []},
        {"labels": [0] * 15},
        {"labels": [0] * 15 + [None]},
        {"labels": [0] * 15 + [-1]},
        {"labels": "0" * 16},
        {"labels": {"0": 1}},
        {"queries": 1},
    ],
    ids=str,
)
def test_a_row_of_another_version_does_not_count(workers, change):
    one, _ = workers
    write(one, json.dumps(Window(requests=3).to_json() | change))
    assert one.complete(0, 120) == {}


@pytest.mark.parametrize("name", Window().to_json())
def test_a_count_that_is_missing_is_not_taken_for_zero(workers, name):
    one, _ = workers
    data = Window(requests=3).to_json()
    del data[name]
    write(one, json.dumps(data))
    assert one.complete(0, 120) == {}


@pytest.mark.parametrize("start", [-1e18, -1.0, 1e18])
def test_a_window_older_than_anything_or_newer_is_in_no_span(workers, start):
    one, _ = workers
    write(one, json.dumps(Window(requests=3).to_json()), start=start)
    assert one.complete(0.0, 1e12) == {}


def test_readable_rows_are_no_warning(workers, caplog):
    one, _ = workers
    one.write({(WHO, 60.0): Window(requests=3)})
    one.complete(0, 120)
    assert caplog.records == []


# The lease.


def test_one_worker_has_the_lease_and_another_when_it_is_gone(workers, clock):
    one, other = workers
    assert one.lease("one", 60) == clock()
    assert other.lease("other", 60) is None
    assert one.lease("one", 60) is not None
    clock.advance(61)
    assert other.lease("other", 60) is not None
    assert one.lease("one", 60) is None


def test_a_lease_is_renewed_by_each_look_of_its_holder(workers, clock):
    one, other = workers
    for _ in range(10):
        assert one.lease("one", 60) is not None
        clock.advance(59)
        assert other.lease("other", 60) is None


def test_a_lease_ends_with_its_last_moment(workers, clock):
    one, other = workers
    one.lease("one", 60)
    clock.advance(59.9)
    assert other.lease("other", 60) is None
    clock.advance(0.1)
    assert other.lease("other", 60) is not None


def test_the_first_lease_begins_now_and_a_later_one_where_the_last_ended(workers, clock):
    one, other = workers
    assert one.lease("one", 60) == 1000.0
    assert save_scores(one, 1000.0, 1060.0)
    clock.advance(500)
    assert other.lease("other", 60) == 1060.0


def test_of_workers_that_come_first_at_once_one_has_the_lease_and_none_fails(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 's.db'}"
    stores = [Store(url) for _ in range(4)]
    for store in stores:
        WindowStore(store, clock, 10).complete(0, 1)  # its tables are made
    ready, found = threading.Barrier(4), []

    def take(number, store):
        workers_store = WindowStore(store, clock, 10)
        ready.wait(10)
        found.append(workers_store.lease(str(number), 60))

    threads = [threading.Thread(target=take, args=each) for each in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(found, key=str) == [1000.0, None, None, None]


# A clock that is set back.


@pytest.mark.parametrize("back", [60 + CLOCK_SKEW + 1, DAY, 3650 * DAY])
def test_a_worker_that_died_before_the_clock_was_set_back_holds_no_lease(tmp_path, back):
    """Else nobody would score until the old time has come again."""
    clock = Clock(4000 * DAY)
    with closing(Store(f"sqlite:///{tmp_path / 's.db'}")) as store:
        worker = WindowStore(store, clock, 5)
        worker.lease("dead", 60)
        clock.advance(-back)
        assert worker.lease("alive", 60) is not None
        assert worker.lease("dead", 60) is None


def test_a_clock_of_another_host_that_differs_a_little_takes_no_lease(workers, clock):
    one, other = workers
    one.lease("one", 60)
    clock.advance(-CLOCK_SKEW)
    assert other.lease("other", 60) is None


@pytest.mark.parametrize("back", [100.0, 3650 * DAY])
def test_what_was_scored_until_a_time_that_is_to_come_again_is_scored_from_now_on(
    tmp_path, back, caplog
):
    clock = Clock(4000 * DAY)
    with closing(Store(f"sqlite:///{tmp_path / 's.db'}")) as store:
        worker = WindowStore(store, clock, 5)
        mark = worker.lease("one", 60)
        clock.advance(-back)
        assert worker.lease("one", 60) == clock()
        assert "the clock was set back" in caplog.text
        assert "fix: " in caplog.text
        assert not save_scores(worker, mark, mark + 60), "who scored meanwhile begins anew"
        assert save_scores(worker, clock(), clock() + 60)
        clock.advance(60)
        caplog.clear()
        worker.lease("one", 60)
        assert caplog.records == []


def test_a_mark_a_little_ahead_stays_so_that_no_window_is_scored_twice(workers, clock):
    one, _ = workers
    mark = one.lease("one", 60)
    clock.advance(-CLOCK_SKEW)
    assert one.lease("one", 60) == mark


def test_windows_of_a_time_that_is_to_come_again_are_deleted_and_older_ones_stay(workers, clock):
    """Added to what is counted then, they would be twice what anybody did."""
    one, _ = workers
    one.lease("one", 60)
    one.write({(WHO, start): Window(requests=9) for start in (840.0, 900.0, 960.0)})
    clock.advance(-100)
    assert one.lease("one", 60) == 900.0
    assert [start for _, start in one.complete(0, 1e12)] == [840.0, 900.0]


def test_windows_counted_before_the_clock_was_set_back_are_not_written_after(workers, clock):
    one, _ = workers
    clock.advance(-100)
    ahead, near = clock() + CLOCK_SKEW + 1, clock() + CLOCK_SKEW
    one.write({(WHO, ahead): Window(requests=9), (WHO, near): Window(requests=8)})
    assert [start for _, start in one.complete(0, 1e12)] == [near]
    one.write({(WHO, ahead): Window(requests=9)})
    assert [start for _, start in one.complete(0, 1e12)] == [near]


def test_windows_in_the_future_are_removed_with_the_first_that_are_written(workers, clock):
    """Also where nobody scores, before the training, and though the mark was never ahead."""
    one, other = workers
    one.write({(WHO, start): Window(requests=9) for start in (300.0, 900.0)})
    clock.advance(-500)
    other.write({(WHO, 480.0): Window(requests=1)})
    assert [start for _, start in one.complete(0, 1e12)] == [300.0, 480.0]


def test_scores_of_a_time_that_is_to_come_again_are_of_now(workers, clock):
    """So they are before a block that is lifted after."""
    one, _ = workers
    found = [SubjectScore(WHO, 960.0, 0.9, 2, []), SubjectScore("client:b", 60.0, 0.9, 1, [])]
    save_scores(one, one.lease("one", 60), 1060.0, found)
    clock.advance(-500)
    one.lease("one", 60)
    found = one.scores()
    assert (found[WHO].start, found[WHO].streak) == (500.0, 2)
    assert found["client:b"].start == 60.0


# Scores.


def test_windows_are_scored_once(workers, clock):
    one, _ = workers
    begun = one.lease("one", 60)
    clock.advance(200)
    assert save_scores(one, begun, begun + 60)
    assert not save_scores(one, begun, begun + 60)
    assert not save_scores(one, begun, begun + 120)
    assert one.lease("one", 60) == begun + 60


def test_of_two_workers_that_both_believe_they_hold_the_lease_one_has_scored(workers, clock):
    """A worker was stopped for a minute in the middle of its scoring, or both have one name."""
    one, other = workers
    begun = one.lease("one", 60)
    clock.advance(61)
    assert other.lease("other", 60) == begun
    assert save_scores(other, begun, begun + 60, [SubjectScore(WHO, 0.0, 0.9, 2, [])])
    assert not save_scores(one, begun, begun + 60, [SubjectScore(WHO, 0.0, 0.9, 1, [])])
    assert not save_scores(one, begun, begun + 120, [SubjectScore(WHO, 0.0, 0.9, 1, [])])
    assert other.scores()[WHO].streak == 2


def test_who_scores_longer_than_its_lease_is_not_in_vain(workers, clock):
    """Else two slow workers would take the lease from each other for ever, and nothing is saved."""
    one, other = workers
    begun = one.lease("one", 60)
    clock.advance(61)
    other.lease("other", 60)
    assert save_scores(one, begun, begun + 60, [SubjectScore(WHO, 0.0, 0.9, 1, [])])


@pytest.mark.parametrize("until", [1000.0, 999.0, -1.0])
def test_a_mark_is_not_moved_back_by_scores(workers, until):
    one, _ = workers
    begun = one.lease("one", 60)
    assert not save_scores(one, begun, until, [SubjectScore(WHO, 0.0, 0.9, 1, [])])
    assert one.scores() == {}


def test_scores_and_mark_are_saved_together_or_not_at_all(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    broken = SubjectScore("client:b", 0.0, None, 1, [])  # a score is not null
    with pytest.raises(sa.exc.IntegrityError):
        save_scores(one, begun, 1060.0, [SubjectScore(WHO, 0.0, 0.9, 1, []), broken])
    assert one.scores() == {}
    assert one.lease("one", 60) == begun


def test_the_newest_score_counts(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    save_scores(one, begun, begun + 60, [SubjectScore(WHO, 0.0, 0.9, 1, [["x", 1, 0, 0]])])
    save_scores(one, begun + 60, begun + 120, [SubjectScore(WHO, 60.0, 0.4, 0, [])])
    assert one.scores([WHO])[WHO] == SubjectScore(WHO, 60.0, 0.4, 0, [])


def test_of_several_windows_of_a_subject_the_last_is_kept(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    found = [SubjectScore(WHO, 60.0 * number, 0.9, number, []) for number in range(3)]
    assert save_scores(one, begun, begun + 60, found)
    assert one.scores() == {WHO: found[-1]}


def test_a_score_is_read_as_it_was_saved(workers):
    one, other = workers
    found = SubjectScore(WHO, 60.0, 0.123456789, 7, [["missing", 1.0, 0.0, 0.01]])
    begun = one.lease("one", 60)
    save_scores(one, begun, begun + 60, [found])
    assert other.scores() == {WHO: found}
    assert other.scores(["client:b"]) == {}
    assert other.scores([]) == {}


def test_attack_more_addresses_than_a_statement_takes_are_found(workers):
    """Scoring would stop for good once this many addresses came in one window."""
    one, _ = workers
    one.scores()
    sizes = []
    sa.event.listen(
        one._store._engine,
        "before_cursor_execute",
        lambda connection, cursor, text, values, context, many: sizes.append(len(values)),
    )
    names = [f"address:{number}" for number in range(40_000)]
    begun = one.lease("one", 60)
    found = [SubjectScore(name, 60.0, 0.9, 1, []) for name in names[::100]]
    save_scores(one, begun, begun + 60, found)
    assert set(one.scores(iter(names))) == set(names[::100])
    assert max(sizes) <= 32_766, "what SQLite takes"


@pytest.mark.parametrize(
    "text",
    [
        *rows.UNREADABLE.values(),
        '[["missing", 1, 0]]',
        '[["missing", "a", 0, 0]]',
        f'[["missing", 1{"0" * 400}, 0, 0]]',
        '[{"a": 1}]',
    ],
    ids=lambda text: text[:12],
)
def test_reasons_that_cannot_be_read_are_none_and_the_score_counts(workers, text):
    one, _ = workers
    rows.run(
        one._store,
        "INSERT INTO anomaly_scores VALUES (:who, 60.0, 0.9, 2, :reasons)",
        who=WHO,
        reasons=text,
    )
    assert one.scores() == {WHO: SubjectScore(WHO, 60.0, 0.9, 2, [])}


def test_attack_an_address_that_was_scored_once_is_not_kept_for_ever(workers, monkeypatch):
    """The oldest scores are deleted, however many addresses a stranger has."""
    monkeypatch.setattr(window_store, "MAX_SCORES", 10)
    one, _ = workers
    mark = one.lease("one", 60)
    for number in range(1, 30):
        start = 60.0 * number
        found = [SubjectScore(f"address:{number}.{each}", start, 0.9, 1, []) for each in "ab"]
        assert save_scores(one, mark, mark + 60, found)
        mark += 60
        assert count(one, "anomaly_scores") <= 10
    assert set(one.scores()) == {f"address:{n}.{each}" for n in range(25, 30) for each in "ab"}
