"""What a plugin calls on its way and never runs: a coroutine, or a generator nobody goes through.

Such a call returns an object and does nothing, one level below the phase where it would show.
Looked at is what the class and the functions of its own package do, as far as their names and
closures lead; no plugin runs an event loop, so `async def` has no place there at all.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from secureml.pipeline.call_analysis import never_runs

_AWAITED = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_MOST = 2000  # functions of one plugin that are looked at


class Idle(NamedTuple):
    """What does nothing, and where it stands: file and line."""

    what: str
    location: str


def idle_code(cls: type) -> Idle | None:
    """Return the first thing in a plugin's own code that is called and never runs, or None."""
    own = tuple({_package_of(base) for base in cls.__mro__ if base is not object})
    for function in _functions(cls, own):
        if not _is_of(function, own):
            continue  # a library's decorator knows what it does with its own coroutines
        for code in _nested(function.__code__):
            if code.co_flags & _AWAITED:
                location = f"{code.co_filename}:{code.co_firstlineno}"
                return Idle(f"{code.co_name} is async def, and nothing here awaits it", location)
        for idle in _dropped(cls, function):
            return idle
    return None


def _package_of(cls: type) -> str:
    top, _, rest = cls.__module__.partition(".")
    return cls.__module__.rpartition(".")[0] if top == "plugins" and rest else top


def _is_of(function: FunctionType, packages: tuple[str, ...]) -> bool:
    return f"{function.__module__}.".startswith(tuple(f"{package}." for package in packages))


def _functions(cls: type, own: tuple[str, ...]) -> Iterator[FunctionType]:
    """Yield the functions of a class, and those of its packages that they lead to."""
    waiting: list[Any] = [value for base in cls.__mro__ for value in vars(base).values()]
    seen = set[int]()
    while waiting and len(seen) < _MOST:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, FunctionType):
            yield value
            waiting += _targets(value, own)
        else:
            words = ("__func__", "func", "fget", "__wrapped__")
            waiting += [inner for word in words if (inner := _static(value, word)) is not None]


def _static(value: Any, word: str) -> Any:
    """Return what a descriptor or a partial holds; nothing else is asked for anything."""
    kinds = (staticmethod, classmethod, property)
    if isinstance(value, kinds) or type(value).__module__ == "functools":
        return getattr(value, word, None)
    return None


def _targets(function: FunctionType, own: tuple[str, ...]) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # not filled yet
    for code in _nested(function.__code__):
        for name in code.co_names:
            found = function.__globals__.get(name)
            if isinstance(found, FunctionType) and _is_of(found, own):
                yield found


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _dropped(cls: type, function: FunctionType) -> Iterator[Idle]:
    """Yield calls of generators whose value nobody takes."""
    file = function.__code__.co_filename
    node = _definitions(file).get(function.__code__.co_firstlineno)
    if node is None:
        return  # made without a source: what it calls cannot be read
    for part in ast.walk(node):
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            called = part.value.func
            what = never_runs(_target(cls, function, called))
            if what:
                message = f"{ast.unparse(called)}(...) is {what}, and its value is dropped"
                yield Idle(f"{message}: no line of it runs", f"{file}:{part.lineno}")


def _target(cls: type, function: FunctionType, called: ast.expr) -> Any:
    """Return what is called by name: a function of the module, or a method of the class."""
    if isinstance(called, ast.Name):
        return function.__globals__.get(called.id)
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        first = function.__code__.co_varnames[:1]
        if first == (called.value.id,) or called.value.id == cls.__name__:
            return inspect.getattr_static(cls, called.attr, None)
    return None


@lru_cache(64)
def _definitions(file: str) -> dict[int, ast.AST]:
    """Return the functions of a source by their first line, where decorators count."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return {}
    return {
        min([node.lineno, *(each.lineno for each in node.decorator_list)]): node
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
