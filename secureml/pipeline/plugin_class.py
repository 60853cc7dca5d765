"""The class of a plugin, checked before anything is served: a check that never runs lets all in.

Python calls a coroutine function without running a line of it, and finds a misspelt method, a
property or a missing argument at the first request or never. Each of these would be a check that
does not happen, so each stops the start, with the place in the source and the line to write.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator
from functools import cached_property, partial, partialmethod
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from secureml.config_error import ConfigError
from secureml.pipeline.call_analysis import AWAITED, never_runs, source_of, takes, written
from secureml.pipeline.phases import Phase
from secureml.pipeline.plugin import EXTRAS, Plugin
from secureml.pipeline.plugin_attributes import ATTRIBUTES
from secureml.pipeline.unawaited_calls import idle_code

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_NEAR = 0.8  # of 1; above it, another word is taken for a slip of the fingers
_MISSING = object()


class Form(NamedTuple):
    """How the core calls a method, and what it makes of the answer."""

    arguments: tuple[str, ...]
    returns: str

    def line(self, word: str) -> str:
        """Return the line that defines such a method."""
        return f"def {word}({', '.join(('self', *self.arguments))}) -> {self.returns}:"


FORMS = {
    "admit": Form(("exchange: Exchange",), "None"),
    "identify": Form(("exchange: Exchange",), "Principal | None"),
    "authorize": Form(("exchange: Exchange",), "None"),
    "limit": Form(("exchange: Exchange",), "None"),
    "validate": Form(("exchange: Exchange",), "None"),
    "shape": Form(("exchange: Exchange", "result: Result"), "Result"),
    "respond": Form(("exchange: Exchange", "headers: Headers"), "None"),
    "record": Form(("exchange: Exchange",), "None"),
    "verify_artifact": Form(("artifact: Artifact",), "None"),
    "row_rules": Form((), "Callable[[Card], RowRules]"),
    "answer_limits": Form((), "Callable[[Card, list[Any], Shares], tuple[list[Any], Shares]]"),
    "render": Form(("problem: Problem", "kind: Kind", "exchange: Exchange"), "dict[str, Any]"),
    "blueprint": Form((), "Blueprint"),
    "commands": Form((), "click.Group"),
    "panel": Form((), "object"),
    "ready": Form((), "str | None"),
    "on_event": Form(("event: Event",), "None"),
    "records": Form(("after: int",), "Iterator[dict[str, Any]]"),
    "measures": Form((), "list[Measure]"),
    "start_worker": Form(("threads: int",), "None"),
    "credentials": Form(("client: str",), "list[Credential]"),
    "check_routes": Form(("routes: frozenset[str]",), "None"),
    "backup_order": Form((), "Iterator[Path]"),
    "close": Form((), "None"),
}
_INIT = Form(("config: Mapping[str, Any]", "host: Host"), "None")
# Whoever calls these goes through what they return, so a generator of them does run.
_ITERATED = frozenset({"records", "measures", "credentials", "backup_order"})
_PHASES = tuple(phase.value for phase in Phase)


_KNOWN = frozenset(_PHASES) | EXTRAS


def check_class(cls: type[Plugin]) -> None:
    """Raise ConfigError unless a class can stand where it says, before any of it is made."""
    _check_name(cls)
    for word in ATTRIBUTES:
        _check_attribute(cls, cls, word)
    _check_spelling(cls)
    _check_call(cls, "__init__", cls.__init__, _INIT)
    for word in _defined(cls):
        _check_method(cls, word)
    _check_idle(cls)
    for kind in cls.problems:
        if not kind.code.startswith(f"{cls.name}."):
            raise _fault(
                cls,
                f"problem code {kind.code!r} must begin with {cls.name + '.'!r}",
                f"write {cls.name}.{kind.code.rpartition('.')[2]}",
            )


def check_made(cls: type[Plugin], plugin: Plugin) -> None:
    """Raise ConfigError where a constructor has changed what the class said of itself."""
    if type(plugin) is not cls:
        raise _fault(cls, f"its __new__ makes a {type(plugin).__name__}", "leave it out")
    for word in ATTRIBUTES:
        _check_attribute(cls, plugin, word)
    for word, value in vars(plugin).items():
        _check_own(cls, word, value)
    for word in sorted(_KNOWN):
        # What answers to every name would run in every phase.
        if inspect.getattr_static(cls, word, _MISSING) is _MISSING and hasattr(plugin, word):
            raise _fault(cls, f"{word} is answered by __getattr__", "define its methods one by one")
    for word in _defined(cls):
        # Once more, as it will be called: a descriptor may give every instance something else.
        _check_call(cls, word, getattr(plugin, word), FORMS[word])


def _fault(cls: type[Plugin], what: str, fix: str, thing: Any = None) -> ConfigError:
    location = source_of(thing) or source_of(cls)
    name = cls.__dict__.get("name", getattr(cls, "name", None))
    table = f"plugins.{name if isinstance(name, str) else cls.__name__}"
    return ConfigError(
        f"{cls.__name__}: {what}{f' ({location})' * bool(location)}", table=table, fix=fix
    )


# -- what stands beside the methods ---------------------------------------------------------------


def _check_name(cls: type[Plugin]) -> None:
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        what = "it has no name" if name is None else f"{name!r} is not a plugin name"
        suggested = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower().strip("_")
        fix = f'write  name = "{suggested}"  in the class: small letters, digits and underscores'
        raise _fault(cls, what, fix)


def _check_attribute(cls: type[Plugin], holder: Any, word: str) -> None:
    fits, example = ATTRIBUTES[word]
    value = getattr(holder, word)
    if holder is cls and inspect.isdatadescriptor(value):
        return  # a property: what it comes to is looked at once there is an instance
    if not fits(value):
        raise _fault(cls, f"{word} = {value!r} cannot be read", f"write  {example}")


def _check_spelling(cls: type[Plugin]) -> None:
    """Refuse a public word that is not one of ours, where it is a method or near to one."""
    for word, value in _public(cls):
        if word in _KNOWN or word in ATTRIBUTES or word in vars(Plugin):
            continue
        if _is_method(value):
            near = _near(word, _KNOWN, 0.6)
            fix = f"did you mean {near!r}?" if near else "make it private with an underscore"
            raise _fault(cls, f"{word} is neither a phase nor an extra", fix, value)
        if near := _near(word, {*_PHASES, *ATTRIBUTES}, _NEAR):
            fix = f"did you mean {near!r}? If not, make it private with an underscore"
            raise _fault(cls, f"{word} is not a word of a plugin", fix)


def _check_idle(cls: type[Plugin]) -> None:
    """Refuse what makes a phase pass for a check and check nothing, one level below the phase."""
    own = inspect.getattr_static(cls, "__getattribute__")
    if own is not object.__getattribute__:
        what = "its __getattribute__ may answer with another method than the one that was checked"
        raise _fault(cls, what, "leave it out", own)
    if idle := idle_code(cls):
        raise ConfigError(
            f"{cls.__name__}: {idle.what} ({idle.location})",
            table=f"plugins.{cls.name}",
            fix="write a plain function that raises, and use what it returns",
        )


def _near(word: str, known: set[str] | frozenset[str], least: float) -> str:
    found = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=least)
    return found[0] if found else ""


def _public(cls: type[Plugin]) -> Iterator[tuple[str, Any]]:
    for base in cls.__mro__:
        if base not in (Plugin, object):
            yield from (item for item in vars(base).items() if not item[0].startswith("_"))


def _is_method(value: Any) -> bool:
    if isinstance(value, (staticmethod, classmethod, partialmethod)):
        return True
    return callable(value) and not isinstance(value, type)


def _check_own(cls: type[Plugin], word: str, value: Any) -> None:
    """Refuse a phase that a constructor hangs on the instance: the class says who stands where."""
    if word == "name" and value != cls.name:
        raise _fault(cls, f"its constructor sets self.name to {value!r}", "leave it to the class")
    fix = f"define it in the class:  {FORMS[word].line(word)}" if word in FORMS else ""
    if word in _KNOWN:
        raise _fault(cls, f"its constructor sets self.{word}", fix, value)
    if word.startswith("_") or not isinstance(value, (FunctionType, MethodType, partial)):
        return
    if near := _near(word, frozenset(_PHASES), _NEAR):
        fix = f"did you mean {near!r}? If not, make it private with an underscore"
        raise _fault(cls, f"its constructor sets self.{word}", fix, value)


# -- methods --------------------------------------------------------------------------------------


def _defined(cls: type[Plugin]) -> list[str]:
    return [word for word in FORMS if inspect.getattr_static(cls, word, _MISSING) is not _MISSING]


def _check_method(cls: type[Plugin], word: str) -> None:
    static, line = inspect.getattr_static(cls, word), FORMS[word].line(word)
    if isinstance(static, (property, cached_property)):
        getter = static.fget if isinstance(static, property) else static.func
        raise _fault(cls, f"{word} is a property, and must be a method", f"write  {line}", getter)
    if isinstance(static, type) or not (_is_method(static) or hasattr(static, "__get__")):
        what = "a class" if isinstance(static, type) else repr(static)
        raise _fault(cls, f"{word} is {what}, and must be a method", f"write  {line}")
    # Bound to an instance that was never made, so that it counts its arguments as it will then.
    try:
        bound = getattr(object.__new__(cls), word)
    except Exception as error:
        what = f"{word} cannot be had from an instance ({error})"
        raise _fault(cls, what, f"write  {line}") from error
    if not callable(bound):
        raise _fault(cls, f"{word} is {bound!r}, and must be a method", f"write  {line}")
    _check_call(cls, word, bound, FORMS[word])


def _check_call(cls: type[Plugin], word: str, call: Any, form: Form) -> None:
    fix = f"write  {form.line(word)}"
    what = never_runs(call)
    if what and not (word in _ITERATED and what not in AWAITED):
        raise _fault(cls, f"{word} is {what}: it would be called and never run", fix, call)
    arguments = form.arguments if word != "__init__" else ("self", *form.arguments)
    if not takes(call, arguments):
        given = ", ".join(argument.partition(":")[0] for argument in form.arguments)
        what = f"{word} takes {written(call)}, and is called as {word}({given})"
        raise _fault(cls, what, fix, call)
