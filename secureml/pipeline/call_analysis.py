"""Whether a callable does something when it is called, with what, and where it is written.

Calling a coroutine function or a generator function runs no line of it: it returns an object
that somebody would have to run. Whoever only calls it has done nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

AWAITED = ("async def", "an async generator")


def takes(call: Any, arguments: tuple[str, ...]) -> bool:
    """Tell whether something can be called so; what Python cannot tell, it will say then."""
    try:
        inspect.signature(call, follow_wrapped=False).bind(*arguments)
    except ValueError:
        # No signature: something made in C, or a method that has no room for its self.
        return not isinstance(getattr(call, "__func__", None), FunctionType)
    except TypeError:
        return False
    return True


def written(call: Any) -> str:
    """Return the arguments of a callable as its source has them."""
    function = getattr(call, "__func__", call)
    return str(inspect.signature(function, follow_wrapped=False))


def never_runs(call: Any) -> str:
    """Say what a callable is that does nothing when it is called; "" for one that acts."""
    for layer in _layers(call):
        if inspect.isasyncgenfunction(layer):
            return "an async generator"
        if inspect.iscoroutinefunction(layer):
            return "async def"
        if inspect.isgeneratorfunction(layer):
            return "a generator, because of its yield"
    return ""


def _layers(call: Any) -> Iterator[Any]:
    """Yield a callable and what it passes calls on to: of a partial, a decorator, an object."""
    waiting, seen = [call], set[int]()
    while waiting and len(seen) < 50:
        layer = waiting.pop()
        if layer is None or id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        waiting += [getattr(layer, word, None) for word in ("func", "__func__", "__wrapped__")]
        if not isinstance(layer, (FunctionType, MethodType, type)):
            waiting.append(inspect.getattr_static(type(layer), "__call__", None))


def let_go(found: object) -> None:
    """Close what will never run, if this is such: Python would say so again, from elsewhere."""
    if inspect.iscoroutine(found) or inspect.isgenerator(found):
        found.close()


def source_of(thing: Any) -> str:
    """Return file and line of a function or class, "" where Python does not know them."""
    function = inspect.unwrap(thing) if callable(thing) and not isinstance(thing, type) else thing
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:
        file = inspect.getsourcefile(thing) or ""
    except TypeError:
        return ""
    try:
        return f"{file}:{inspect.getsourcelines(thing)[1]}"
    except OSError:
        return file
