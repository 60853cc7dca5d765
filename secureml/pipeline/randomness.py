"""Randomness that two workers do not share.

The application is made once and then forked: a generator made in a constructor is copied with
its state, and each worker draws the same numbers from it. Noise that comes twice can be
subtracted. So such a generator stops the start, and the host makes one for each process.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any

from secureml.config_error import ConfigError

if TYPE_CHECKING:
    import numpy as np

_DEEPEST = 6


def _system_generator() -> np.random.Generator:
    # Here, because commands that draw nothing need not wait for NumPy.
    from numpy.random import default_rng  # noqa: PLC0415

    return default_rng()


def _stateful() -> tuple[type, ...]:
    """Return the kinds that carry their state along; of NumPy's only where anybody has it."""
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is None:
        return (random.Random,)
    return random.Random, numpy.Generator, numpy.RandomState, numpy.BitGenerator


def _everybodys() -> tuple[Any, Any]:
    """Return the two that belong to all: each gets a state of its own in each worker."""
    numpy: Any = sys.modules.get("numpy.random")
    return random.random.__self__, numpy and numpy.random.__self__  # type: ignore[attr-defined]


class ProcessGenerator:
    """Call it for a generator of this process; made from the system's randomness on first use.

    ``make`` makes one. Threads may share what they get: NumPy locks each draw.
    """

    def __init__(self, make: Callable[[], np.random.Generator] = _system_generator) -> None:
        self._make = make
        self._made: tuple[int, np.random.Generator | None] = (0, None)

    def __call__(self) -> np.random.Generator:
        """Return the generator of this process; keep it nowhere, the process may be forked."""
        owner, generator = self._made
        if generator is None or owner != os.getpid():
            generator = self._make()
            self._made = (os.getpid(), generator)
        return generator


def renew_global_state() -> None:
    """Give this process a state of its own for ``numpy.random.*``, as Python does for its own."""
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed(int.from_bytes(os.urandom(4)))


def check_randomness(plugin: Any) -> None:
    """Raise ConfigError where a plugin keeps a generator that all workers would copy."""
    cls = type(plugin)
    for path, kind in _kept_by(plugin):
        raise ConfigError(
            f"{cls.__name__} keeps a {kind} in {path}, and every worker would draw the same "
            "numbers from its copy",
            table=f"plugins.{plugin.name}",
            fix="call host.generator() where you draw, or make it in work(threads)",
        )


def _kept_by(plugin: Any) -> Iterator[tuple[str, str]]:
    cls = type(plugin)
    seen: set[int] = set()
    yield from _within(plugin, "self", _package_of(cls), seen)
    for base in cls.__mro__:
        if base.__module__ == cls.__module__:
            for word, value in vars(base).items():
                yield from _at(value, f"{base.__name__}.{word}")
    for word, value in vars(sys.modules.get(cls.__module__, cls)).items():
        yield from _at(value, f"{cls.__module__}.{word}")


def _package_of(cls: type) -> str:
    """Return the package of a plugin: what is made of its classes is its own."""
    return cls.__module__.rpartition(".")[0] or cls.__module__


def _at(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield a path and a kind where a value is a generator, or a method of one."""
    # By type alone: a proxy of Flask's must not be asked for anything outside a request.
    if isinstance(value, (BuiltinMethodType, MethodType)):
        value = value.__self__
    kind = type(value)
    own = issubclass(kind, _stateful()) and not issubclass(kind, random.SystemRandom)
    if own and not any(value is one for one in _everybodys()):
        yield path, f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def _within(value: Any, path: str, package: str, seen: set[int]) -> Iterator[tuple[str, str]]:
    if id(value) in seen or path.count(".") > _DEEPEST:
        return
    seen.add(id(value))
    yield from _at(value, path)
    for name, inner in _parts(value, package):
        yield from _within(inner, f"{path}.{name}", package, seen)


def _parts(value: Any, package: str) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of: containers, partials, and objects of the plugin's own."""
    if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((str(number), item) for number, item in enumerate(value))
    elif isinstance(value, partial):
        yield from (("func", value.func), ("args", value.args), ("keywords", value.keywords))
    elif f"{type(value).__module__}.".startswith(f"{package}."):
        yield from getattr(value, "__dict__", {}).items()
        for base in type(value).__mro__:
            for word in _slots(base):
                yield word, getattr(value, word, None)


def _slots(base: type) -> tuple[str, ...]:
    words = vars(base).get("__slots__", ())
    return (words,) if isinstance(words, str) else tuple(words)
