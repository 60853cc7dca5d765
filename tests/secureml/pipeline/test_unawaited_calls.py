"""Attack: hide a check that never runs one level below a phase that looks right."""

from __future__ import annotations

import asyncio
import contextlib
import functools

import pytest

from secureml import ConfigError, Plugin, Problem
from secureml.pipeline.plugin_class import check_class
from secureml.pipeline.unawaited_calls import idle_code


def plain(call):
    """A decorator that does not say what it wraps, and drops what it returns."""

    def wrapper(self, exchange):
        call(self, exchange)

    return wrapper


def checks(exchange):
    yield
    raise Problem("forbidden")


async def waits(exchange):
    raise Problem("forbidden")


@contextlib.contextmanager
def held(exchange):
    yield


class Hidden(Plugin):
    name = "hidden"

    @plain
    async def admit(self, exchange):
        raise Problem("forbidden")


class Private(Plugin):
    name = "private"

    def admit(self, exchange):
        asyncio.run(self._check(exchange))

    async def _check(self, exchange):
        raise Problem("forbidden")


class Dropped(Plugin):
    name = "dropped"

    def admit(self, exchange):
        if exchange:
            self._check(exchange)

    def _check(self, exchange):
        yield
        raise Problem("forbidden")


class Inherits(Dropped):
    name = "inherits"


class OfClass(Dropped):
    name = "of_class"

    def admit(self, exchange):
        OfClass._check(self, exchange)


class OfModule(Plugin):
    name = "of_module"

    def admit(self, exchange):
        checks(exchange)


class Decorated(Plugin):
    name = "decorated"

    def admit(self, exchange):
        held(exchange)


class ByName(Plugin):
    name = "by_name"

    def admit(self, exchange):
        waits(exchange)


class Nested(Plugin):
    name = "nested"

    def admit(self, exchange):
        async def check():
            raise Problem("forbidden")

        check()


class Static(Plugin):
    name = "static"

    def admit(self, exchange):
        self._check(exchange)

    @staticmethod
    def _check(exchange):
        yield


class Cached(Plugin):
    name = "cached"

    @functools.cached_property
    def _check(self):
        async def check():
            raise Problem("forbidden")

        return check

    def admit(self, exchange):
        self._check()


IDLE = [
    Hidden, Private, Dropped, Inherits, OfClass, OfModule, Decorated, ByName, Nested, Static,
    Cached,
]  # fmt: skip


@pytest.mark.parametrize("cls", IDLE, ids=lambda cls: cls.name)
def test_a_check_that_never_runs_below_a_phase_stops_the_start(cls):
    with pytest.raises(ConfigError) as refused:
        check_class(cls)
    line = str(refused.value)
    assert line.startswith(f"[plugins.{cls.name}]")
    assert f"{__file__}:" in line
    assert "; fix: " in line
    assert "\n" not in line


class Acts(Plugin):
    """Goes through its generators, and runs a coroutine of somebody else."""

    name = "acts"

    def admit(self, exchange):
        self._log(exchange)
        list(self._faults(exchange))
        for _ in self._faults(exchange):
            pass
        with held(exchange):
            asyncio.run(asyncio.sleep(0))
        found = {}
        found.update(a=1)

    def _faults(self, exchange):
        yield from (exchange,)

    def _log(self, exchange):
        held(exchange).__enter__()


def test_what_is_gone_through_is_nobodys_affair():
    check_class(Acts)
    assert idle_code(Acts) is None


def test_the_line_of_a_dropped_call_is_named():
    found = idle_code(Dropped)
    line = Dropped.admit.__code__.co_firstlineno + 2
    assert found.location == f"{__file__}:{line}"
    assert found.what.startswith("self._check(...) is a generator")


def test_attack_a_class_that_answers_for_its_phases_itself_stops_the_start():
    """What was checked need not be what is called then."""

    class Swaps(Plugin):
        name = "swaps"

        def __getattribute__(self, word):
            return (lambda *given: None) if word == "admit" else object.__getattribute__(self, word)

        def admit(self, exchange):
            raise Problem("forbidden")

    with pytest.raises(ConfigError, match="__getattribute__") as refused:
        check_class(Swaps)
    assert f"{__file__}:" in str(refused.value)
