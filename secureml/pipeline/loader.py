"""From the operator's list of names to plugins, checked; anything odd stops the start.

Nothing is scanned: what is installed is not enabled until it is named. A name is a
package under ``plugins``; ``package.module:Class`` names a plugin that lives elsewhere.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import RAISE, ValidationError

from secureml.config_error import ConfigError, did_you_mean
from secureml.pipeline.declared_outputs import written_by
from secureml.pipeline.phases import NEVER_OBSERVED, REFUSING
from secureml.pipeline.plugin import Host, Plugin, phases_of
from secureml.pipeline.plugin_class import check_class, check_made
from secureml.pipeline.plugin_errors import import_fault, missing_class, raised
from secureml.pipeline.randomness import check_randomness
from secureml.pipeline.references import Reference, references
from secureml.pipeline.settings_errors import invalid_table
from secureml.state.fields import Writes

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
MODES = ("enforce", "observe")


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin ready to run in its phases; ``observe`` turns its refusals into log lines.

    ``references`` are the names of clients, models and the like in its table, ``written`` the
    keys, paths and kinds of what it writes.
    """

    plugin: Plugin
    observe: bool
    references: tuple[Reference, ...] = ()
    written: tuple[tuple[str, str, Writes], ...] = ()

    @property
    def name(self) -> str:
        """The plugin's own name."""
        return self.plugin.name


def find(names: Sequence[str]) -> list[type[Plugin]]:
    """Return the class behind each entry of the list, in its order."""
    classes: list[type[Plugin]] = []
    for entry in names:
        cls = _import(entry)
        check_class(cls)
        if any(cls.name == other.name for other in classes):
            raise ConfigError(
                f"the plugin {cls.name!r} is listed twice",
                table="secureml",
                key="plugins",
                fix="name it once; plurality lives in its table",
            )
        classes.append(cls)
    return classes


def build(
    classes: Sequence[type[Plugin]],
    tables: Mapping[str, Mapping[str, Any]],
    host_for: Callable[[str], Host],
) -> list[LoadedPlugin]:
    """Check each plugin's table against its schema and construct it, in order."""
    known = {cls.name for cls in classes}
    for stray in sorted(set(tables) - known):
        raise ConfigError(
            "this table configures a plugin that is not enabled",
            table=f"plugins.{stray}",
            fix=_enable(stray, known),
        )
    return [_construct(cls, tables.get(cls.name, {}), host_for(cls.name)) for cls in classes]


def _enable(stray: str, known: Collection[str]) -> str:
    near = did_you_mean(stray, known)
    if near:
        return f"{near}else remove this table, or add {stray!r} to plugins in [secureml]"
    return (
        f"to use {stray}, add {stray!r} to plugins in [secureml], in its place in the order "
        "(secureml.example.toml shows it); to do without, remove this table"
    )


def _import(entry: str) -> type[Plugin]:
    module_name, _, attribute = entry.partition(":")
    if not attribute:
        if not _NAME.fullmatch(entry):
            raise ConfigError(
                f"{entry!r} is not a plugin name",
                table="secureml",
                key="plugins",
                fix="use the name of a folder in plugins/, or package.module:Class",
            )
        module_name, attribute = f"plugins.{entry}", "plugin"
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        raise import_fault(entry, error) from error
    found = getattr(module, attribute, None)
    if found is None:
        raise missing_class(entry, module, attribute)
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise ConfigError(
            f"{entry!r} is not a Plugin class",
            table="secureml",
            key="plugins",
            fix="name a subclass of secureml.Plugin",
        )
    return found


def _construct(cls: type[Plugin], table: Mapping[str, Any], host: Host) -> LoadedPlugin:
    name = f"plugins.{cls.name}"
    words = dict(table)
    mode = words.pop("mode", "enforce")
    _check_mode(cls, mode, name)
    try:
        # Whatever its author says of unknown keys: a misspelt one must not pass for a default.
        schema = cls.schema(unknown=RAISE)
        config = schema.load(words)
        named = tuple(references(schema, words, name))
        written = tuple(written_by(schema, config))
    except ValidationError as error:
        extra_keys = ("mode",) if _may_observe(cls) else ()
        raise invalid_table(error, name, schema, words, extra_keys) from None
    except BaseException as error:
        raise raised(cls.name, f"its schema {cls.schema.__name__}", cls.schema, error) from error
    try:
        plugin = cls(config, host)
        check_made(cls, plugin)
        check_randomness(plugin)
    except BaseException as error:
        raise raised(cls.name, f"{cls.__name__}.__init__", cls, error) from error
    return LoadedPlugin(plugin, mode == "observe", named, written)


def _may_observe(cls: type[Plugin]) -> bool:
    phases = set(phases_of(cls))
    return not phases & NEVER_OBSERVED and bool(phases & REFUSING)


def _check_mode(cls: type[Plugin], mode: object, table: str) -> None:
    if mode not in MODES:
        raise ConfigError(
            f"{mode!r} is not a mode", table=table, key="mode", fix='use "enforce" or "observe"'
        )
    phases = set(phases_of(cls))
    if mode != "observe":
        return
    why = ""
    if phases & NEVER_OBSERVED:
        why = "who someone is and what they may do is always enforced"
    elif not phases & REFUSING:
        why = "it refuses nothing and changes no result, so there is nothing to observe"
    if why:
        raise ConfigError(
            f"this plugin cannot be observed only: {why}",
            table=table,
            key="mode",
            fix="remove the key",
        )
