from __future__ import annotations

import os
import sys

import pytest

from secureml.scoring import backends
from secureml.scoring.backends import Cluster
from secureml.scoring.refused import NotScored


def where(number):
    return number, os.getpid()


@pytest.mark.parametrize(("count", "threads"), [(1, False), (1, True), (3, True)])
def test_every_call_is_answered_once_in_this_process(count, threads):
    with backends.local(count, threads=threads) as workers:
        found = list(workers.run(where, ((n,) for n in range(200))))

    assert sorted(number for number, _ in found) == list(range(200))
    assert {process for _, process in found} == {os.getpid()}


def test_no_more_calls_are_taken_than_a_round_holds_before_results_are():
    taken = []
    calls = ((taken.append(n) or n,) for n in range(1000))
    with backends.local(2, threads=True) as workers:
        results = workers.run(where, calls)
        next(results)
        most = len(taken)
        assert len(list(results)) == 999

    assert most <= 2 * backends._CHUNKS_IN_ROUND


def test_no_call_is_no_result():
    with backends.local(2, threads=True) as workers:
        assert list(workers.run(where, iter(()))) == []


def test_processes_import_nothing_from_the_folder_they_are_started_in(monkeypatch):
    for before in (None, "0"):
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
        if before is not None:
            monkeypatch.setenv("PYTHONSAFEPATH", before)
        with backends.local(2, threads=False):
            assert os.environ["PYTHONSAFEPATH"] == "1"
        assert os.environ.get("PYTHONSAFEPATH") == before


def test_without_dask_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(NotScored, match="script/extras cluster"),
        backends.cluster(Cluster("tcp://127.0.0.1:1"), []),
    ):
        pass


def test_the_files_of_tls_belong_together(tmp_path):
    for words in ({"ca": tmp_path}, {"ca": tmp_path, "certificate": tmp_path}):
        with pytest.raises(NotScored, match="belong together; fix: give all three"):
            backends._security(Cluster("tls://127.0.0.1:1", **words), None)
    with pytest.raises(NotScored, match="cannot be reached without certificates; fix: give"):
        backends._security(Cluster("tls://127.0.0.1:1"), None)
    assert backends._security(Cluster("tcp://127.0.0.1:1"), None) is None
