"""Nobody who failed is taken for one who did not, for longer than a second."""

from __future__ import annotations

import os

import pytest

from plugins.rate_limit.calm import Calm
from secureml.testing import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workers(tmp_path, clock):
    return [Calm(tmp_path / "word", clock) for _ in range(2)]


def test_what_was_asked_is_remembered_until_another_worker_counts_a_failure(workers):
    here, there = workers
    assert not here.holds("a")
    here.remember("a", here.word())
    assert here.holds("a")
    assert not here.holds("b")
    there.disturb()
    assert not here.holds("a")


def test_a_failure_between_the_question_and_its_answer_is_not_forgotten(workers):
    here, there = workers
    before = here.word()
    there.disturb()
    here.remember("a", before)
    assert not here.holds("a")


def test_a_child_shares_the_word_of_its_parent(workers):
    here, _ = workers
    here.remember("a", here.word())
    child = os.fork()
    if child == 0:
        here.disturb()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not here.holds("a")


def test_nothing_is_believed_for_more_than_a_second(workers, clock, tmp_path):
    """Somebody removed the file, and the workers that start now share another word."""
    here, _ = workers
    here.remember("a", here.word())
    (tmp_path / "word").unlink()
    Calm(tmp_path / "word", clock).disturb()
    assert here.holds("a")
    clock.advance(1.0)
    assert not here.holds("a")


def test_many_strangers_cost_bounded_memory(workers):
    here, _ = workers
    for number in range(10_000):
        here.remember(str(number), here.word())
    assert len(here._known[1]) <= 4096


@pytest.mark.parametrize("path", [None, "folder/that/is/not/there"])
def test_where_nothing_can_be_shared_nothing_is_remembered(tmp_path, clock, path):
    calm = Calm(tmp_path / path if path else None, clock)
    calm.remember("a", calm.word())
    calm.disturb()
    assert not calm.holds("a")
