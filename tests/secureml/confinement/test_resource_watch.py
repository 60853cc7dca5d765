"""What a process takes, read from its status."""

from __future__ import annotations

import os

import pytest

from secureml.confinement.limits import MIB, LimitName, Limits
from secureml.confinement.resource_watch import ResourceWatch, parse_status

STATUS = "Name:\tx\nVmHWM:\t  2048 kB\nRssAnon:\t 700 kB\nRssShmem:\t 300 kB\nThreads:\t3\n"


@pytest.fixture
def status(tmp_path):
    (tmp_path / "7").mkdir()
    path = tmp_path / "7" / "status"
    path.write_text(STATUS)
    return path


def watch(status, **limits):
    return ResourceWatch(7, Limits(**limits), folder=status.parents[1])


def test_memory_is_told_in_bytes():
    assert parse_status(STATUS) == {
        "VmHWM": 2 * MIB, "RssAnon": 700 * 1024, "RssShmem": 300 * 1024, "Threads": 3,
    }  # fmt: skip


def test_data_and_shared_data_count_together(status):
    assert watch(status, memory=1000 * 1024).exceeded() is None
    assert watch(status, memory=999 * 1024).exceeded() is LimitName.MEMORY


def test_threads_are_counted(status):
    assert watch(status, threads=3).exceeded() is None
    assert watch(status, threads=2).exceeded() is LimitName.THREADS


def test_the_most_is_remembered(status):
    watched = watch(status)
    watched.exceeded()
    status.write_text(STATUS.replace("2048", "1024"))
    watched.exceeded()
    assert watched.peak_memory == 2 * MIB


def test_a_process_that_is_gone_takes_nothing(status):
    watched = watch(status)
    status.unlink()
    assert watched.exceeded() is None


def test_a_real_process_is_understood():
    watched = ResourceWatch(os.getpid(), Limits(memory=1))
    assert watched.exceeded() is LimitName.MEMORY
    assert watched.peak_memory > MIB
