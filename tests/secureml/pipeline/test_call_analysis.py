"""What a callable does when it is called, and where it is written."""

from __future__ import annotations

import functools
import inspect

import pytest

from secureml.pipeline.call_analysis import let_go, never_runs, source_of, takes, written


def acts(one, two=2):
    """Do it."""


async def waits():
    """Wait."""


def yields():
    yield


OUTSIDE = functools.partial(map, waits)


class Object:
    """Called like a function."""

    def __call__(self, one):
        """Do it."""

    def method(self, one):
        """Do it."""

    def lost():
        """Have no room for a self."""


@pytest.mark.parametrize(
    "call",
    [acts, print, len, str.upper, Object(), Object, functools.partial(acts, 1), OUTSIDE],
)
def test_what_acts_is_nobodys_affair(call):
    """Also what returns something that does not: that is seen when it has."""
    assert never_runs(call) == ""


def test_what_never_runs_is_said():
    assert never_runs(waits) == "async def"
    assert never_runs(yields) == "a generator, because of its yield"
    assert never_runs(functools.partial(waits)) == "async def"


def test_a_thing_that_wraps_itself_is_looked_at_once():
    def wrapped():
        """Do it."""

    wrapped.__wrapped__ = wrapped
    assert never_runs(wrapped) == ""


def test_what_an_object_answers_to_every_name_ends():
    class Endless:
        def __getattr__(self, word):
            return Endless()

    assert never_runs(Endless()) == ""


@pytest.mark.parametrize(
    ("call", "given", "fits"),
    [
        (acts, ("a",), True),
        (acts, ("a", "b"), True),
        (acts, (), False),
        (acts, ("a", "b", "c"), False),
        (Object(), ("a",), True),
        (Object(), (), False),
        (Object().method, ("a",), True),
        (Object().lost, (), False),
        (max, ("a", "b", "c"), True),
    ],
)
def test_it_is_told_whether_something_can_be_called_so(call, given, fits):
    """What has no signature will say for itself."""
    assert takes(call, given) is fits


def test_the_arguments_are_shown_as_they_are_written():
    assert written(acts) == "(one, two=2)"
    assert written(Object().method) == "(self, one)"
    assert written(Object().lost) == "()"


def test_the_place_is_file_and_line():
    line = inspect.getsourcelines(acts)[1]
    assert source_of(acts) == f"{__file__}:{line}"
    assert source_of(functools.lru_cache(acts)) == f"{__file__}:{line}"
    assert source_of(Object) == f"{__file__}:{inspect.getsourcelines(Object)[1]}"
    assert source_of(Object().method).startswith(__file__)
    assert source_of(len) == source_of(5) == source_of(None) == ""
    assert source_of(type("Made", (), {"__module__": __name__})) == __file__


def test_what_will_never_run_is_closed():
    coroutine, generator = waits(), yields()
    let_go(coroutine)
    let_go(generator)
    let_go(5)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert inspect.getgeneratorstate(generator) == inspect.GEN_CLOSED
