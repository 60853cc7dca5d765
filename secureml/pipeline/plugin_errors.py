"""What a plugin's own code raises at the start, told in one line instead of a traceback.

Each line names the plugin, the file and line in it, what was raised, and what to do about it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from marshmallow import fields as plain

from secureml import kit
from secureml.config_error import ConfigError
from secureml.kit import fields
from secureml.pipeline.exit_signals import raised_by_signal

_NOT_IMPORTED = re.compile(r"cannot import name '(\w+)'")
_THE_LIST = {"table": "secureml", "key": "plugins"}


def import_fault(entry: str, error: BaseException) -> ConfigError:
    """Return why an entry of the operator's list could not be imported."""
    if raised_by_signal(error):
        raise error
    module = _module_of(entry)
    if isinstance(error, ModuleNotFoundError) and _is_itself(module, error.name or ""):
        return _not_found(entry, module)
    what, fix = _why_not_imported(module, error)
    location = _location(error, _files_of(module))
    where = f" ({location})" if location else ""
    return ConfigError(
        f"the plugin {entry!r} cannot be imported: {what}{where}", fix=fix, **_THE_LIST
    )


def missing_class(entry: str, module: ModuleType, attribute: str) -> ConfigError:
    """Return what to say of a module that has no such class."""
    near = _near(attribute, [word for word in vars(module) if not word.startswith("_")])
    return ConfigError(
        f"the plugin {entry!r} cannot be imported: {module.__name__} has no {attribute!r} "
        f"({getattr(module, '__file__', '')})",
        fix=f"did you mean {module.__name__}:{near}?"
        if near
        else "check the spelling of the class",
        **_THE_LIST,
    )


def raised(name: str, what: str, thing: Any, error: BaseException) -> ConfigError:
    """Return what to say of a plugin that raised where the start called it.

    ``what`` says what was called, ``thing`` is the class or function whose source is meant.
    """
    if raised_by_signal(error):
        raise error
    if isinstance(error, ConfigError):
        return error.within(table=f"plugins.{name}")
    location = _location(error, _files_of(thing.__module__))
    where = f" ({location})" if location else ""
    return ConfigError(
        f"{what} raised {_describe(error)}{where}", table=f"plugins.{name}", fix=_fix_for(error)
    )


def call_extra(plugin: Any, word: str, *given: Any) -> Any:
    """Call an extra of a plugin at the start; raise ConfigError for whatever it raises."""
    call: Callable[..., Any] = getattr(plugin, word)
    try:
        return call(*given)
    except BaseException as error:
        cls = type(plugin)
        raise raised(plugin.name, f"{cls.__name__}.{word}", cls, error) from error


def _module_of(entry: str) -> str:
    module, _, attribute = entry.partition(":")
    return module if attribute else f"plugins.{entry}"


def _is_itself(module: str, missing: str) -> bool:
    return f"{module}.".startswith(f"{missing}.") if missing else False


def _not_found(entry: str, module: str) -> ConfigError:
    if ":" in entry:
        top = module.partition(".")[0]
        return ConfigError(
            f"the plugin {entry!r} cannot be imported: Python finds no module {top!r}",
            fix="check the spelling, install it into .venv, or name the folder that holds it in "
            "PYTHONPATH: PYTHONPATH=/path/to/folder before this command, "
            "Environment=PYTHONPATH=/path/to/folder in the systemd unit",
            **_THE_LIST,
        )
    package = importlib.util.find_spec("plugins")
    folders = [
        Path(location) for location in (package and package.submodule_search_locations) or ()
    ]
    known = sorted(path.parent.name for folder in folders for path in folder.glob("*/plugin.py"))
    near = _near(entry, known)
    hint = f"did you mean {near!r}? " if near else ""
    return ConfigError(
        f"the plugin {entry!r} cannot be imported: there is no such plugin",
        fix=f"{hint}check the spelling; built-in plugins are the folders under plugins/, any "
        "other is named package.module:Class",
        **_THE_LIST,
    )


def _why_not_imported(module: str, error: BaseException) -> tuple[str, str]:
    """Return what is wrong and what to do, for what an import raised."""
    if isinstance(error, SyntaxError):
        return f"it is not valid Python: {error.msg}", "correct that line"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"it needs the module {error.name!r}", _way_to_module(module, error.name)
    if isinstance(error, ImportError) and error.name:
        wanted = _NOT_IMPORTED.findall(str(error))
        home = sys.modules.get(error.name)
        return str(error).partition(" (")[0], _fix_for_name(home, wanted[0] if wanted else "")
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return _describe(error), _fix_for_name(error.obj, error.name or "")
    return f"it raised {_describe(error)}", _fix_for(error)


def _way_to_module(module: str, missing: str) -> str:
    top = missing.partition(".")[0]
    if top == "secureml":
        return (
            "import what a plugin needs from secureml or a module of secureml.kit: "
            "from secureml import Plugin"
        )
    if top == module.partition(".")[0]:
        return f"check the spelling of {missing!r} and that the package is whole"
    return f"install the library {top!r} that this plugin needs"


def _fix_for_name(home: ModuleType | None, word: str) -> str:
    if home is None or not word:
        return "check the spelling"
    if home is fields and hasattr(plain, word):
        return (
            f"secureml.kit.fields has only what marshmallow has not: write "
            f"from marshmallow import fields as plain, and plain.{word}(...)"
        )
    topic = _topic_of(word) if home.__name__ in ("secureml", kit.__name__) else ""
    if topic:
        return f"write from {topic} import {word}"
    near = _near(word, getattr(home, "__all__", None) or dir(home))
    return f"did you mean {near!r}?" if near else f"check what {home.__name__} offers"


def _topic_of(word: str) -> str:
    """Return the package or module of the kit that has a name; empty where none does."""
    topics = sorted(each.name for each in pkgutil.iter_modules(kit.__path__))
    if word in topics:
        return kit.__name__
    modules = (importlib.import_module(f"{kit.__name__}.{topic}") for topic in topics)
    return next((each.__name__ for each in modules if word in getattr(each, "__all__", ())), "")


def _fix_for(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"let the user that runs the server use {error.filename}, or name another place"
    return "correct it there; for a setting that cannot work, raise ConfigError there"


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _near(word: str, known: Iterable[str]) -> str:
    by_letters = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), by_letters, n=1)
    return by_letters[found[0]] if found else ""


def _files_of(module: str) -> set[str]:
    """Return the file of a module, or the folder of its package, as far as Python can tell."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return set()
    if found is None or found.origin is None:
        return set()
    own = found.submodule_search_locations is not None or "." in module
    return {f"{Path(found.origin).parent}/" if own else found.origin}


def _location(error: BaseException, own: set[str]) -> str:
    """Return file and line where something was raised: in the plugin's own source, if anywhere."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and frame.filename not in (__file__, _IMPORTLIB)
    ]
    inside = [
        frame
        for frame in frames
        if any(location and frame.startswith(location) for location in own)
    ]
    return (inside or frames or [""])[-1]


_IMPORTLIB = importlib.__file__
