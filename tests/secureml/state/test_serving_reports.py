from __future__ import annotations

import os
from contextlib import closing

import pytest

from secureml.state.serving_reports import (
    ALIVE_SECONDS,
    FORGOTTEN_SECONDS,
    ServerReport,
    ServingReports,
    place,
)
from secureml.state.store import Store

ONE = ServerReport("host:1", {"model": "1"}, {})


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def reports(tmp_path, clock):
    with closing(Store(f"sqlite:///{tmp_path / 'secureml.db'}")) as store:
        yield ServingReports(store, lambda: clock[0])


def test_the_last_thing_a_worker_said_is_what_it_serves(reports):
    reports.report(ONE)
    later = ServerReport("host:1", {"model": "2"}, {"other": "why"})
    reports.report(later)
    two = ServerReport("host:2", {"model": "1"}, {})
    reports.report(two)

    assert sorted(reports.alive(), key=lambda each: each.place) == [later, two]


def test_a_worker_that_is_silent_or_has_left_is_not_waited_for(reports, clock):
    reports.report(ONE)
    clock[0] += ALIVE_SECONDS
    assert reports.alive() == [ONE]
    clock[0] += 0.1
    assert reports.alive() == []
    reports.report(ONE)
    reports.leave("host:1")
    assert reports.alive() == []


def test_places_of_long_ago_do_not_pile_up(reports, clock):
    reports.report(ONE)
    clock[0] += FORGOTTEN_SECONDS + 1
    reports.report(ServerReport("host:2", {}, {}))
    with reports._store.read() as connection:
        rows = connection.exec_driver_sql("SELECT place FROM model_servers").all()

    assert [row.place for row in rows] == ["host:2"]


def test_comparisons_are_kept_by_worker_and_dropped_by_trial(reports):
    reports.put_comparison("run", "host:1", {"rows": 1})
    reports.put_comparison("run", "host:1", {"rows": 2})
    reports.put_comparison("run", "host:2", {"rows": 3})
    reports.put_comparison("old", "host:1", {"rows": 9})
    assert sorted(sums["rows"] for sums in reports.comparisons("run")) == [2, 3]
    reports.drop_comparisons(keep=frozenset({"run"}))

    assert reports.comparisons("old") == []
    assert len(reports.comparisons("run")) == 2


def test_reports_make_nothing_cached_untrue(reports):
    """Each is a write; were it counted as a change, every worker would read everything anew."""
    before = reports._store.versions()
    reports.report(ONE)
    reports.put_comparison("run", "host:1", {})

    assert reports._store.versions() == before


def test_a_place_names_this_process():
    assert place().endswith(f":{os.getpid()}")
