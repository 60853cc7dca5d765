"""A store that is away is said once, and that it is back; not once a request."""

from __future__ import annotations

import pytest

from secureml.state.outage_log import QUIET, OutageLog
from secureml.state.store import Store, StoreUnavailable


class Clock:
    seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def emitted():
    return []


@pytest.fixture
def trouble(clock, emitted):
    made = OutageLog("/site/secureml.db", clock)
    made.tell = lambda lost, why: emitted.append((lost, why))
    made.serving = True
    return made


def test_a_command_says_it_itself(trouble, emitted, caplog):
    trouble.serving = False
    trouble.lost("why")
    trouble.found()
    assert (emitted, caplog.records) == ([], [])


def test_it_is_said_once_until_it_is_back(trouble, emitted, caplog):
    for _ in range(100):
        trouble.lost("its file is missing")
    (line,) = caplog.records
    assert line.levelname == "ERROR"
    assert "/site/secureml.db: its file is missing" in line.message
    assert "fix: restore it" in line.message
    trouble.found()
    trouble.found()
    assert emitted == [(True, "its file is missing"), (False, "available again")]


def test_a_store_that_comes_and_goes_does_not_fill_the_disk(trouble, emitted, clock):
    for _ in range(1000):
        trouble.lost("why")
        trouble.found()
    assert len(emitted) == 2
    clock.seconds += QUIET
    trouble.lost("why")
    assert len(emitted) == 3


def test_who_cannot_be_told_ends_nothing(trouble, caplog):
    def fails(lost, why):
        raise OSError("no room")

    trouble.tell = fails
    trouble.lost("why")
    assert trouble.away
    assert "could not be recorded" in caplog.text


@pytest.mark.parametrize("replaced", [True, False])
def test_a_store_that_was_replaced_or_is_missing_is_said_and_comes_back(
    tmp_path, emitted, caplog, replaced
):
    path = tmp_path / "secureml.db"
    store = Store(f"sqlite:///{path}")
    store.trouble.tell = lambda lost, why: emitted.append((lost, why))
    store.trouble.serving = True
    store.version("clients")
    away = path.rename(tmp_path / "away")
    if replaced:
        path.touch(mode=0o600)
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            store.version("clients")
        with pytest.raises(StoreUnavailable), store.begin():
            pass
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert str(path) in line.message
    assert ("was replaced" if replaced else "is missing") in line.message

    away.replace(path)
    assert store.version("clients") == 0
    assert [lost for lost, _ in emitted] == [True, False]
    store.close()
