"""The commands that plugins bring: those of an instance, and help on ours where there is none.

A command works on what its plugin has made of an instance. What it is called, what it takes and
what it is for is the same everywhere, so `--help` is answered without one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from secureml.config_error import ConfigError
from secureml.pipeline import builtin_plugins, loader
from secureml.pipeline.plugin_errors import call_extra

if TYPE_CHECKING:
    from secureml.core import Core
    from secureml.pipeline.loader import LoadedPlugin
    from secureml.pipeline.plugin import Plugin


def names(core: Core) -> list[str]:
    """Return the names of the enabled plugins' commands, each once."""
    return sorted(_name_of(loaded.plugin) for loaded in _offering(core) if _works(loaded))


def enabled(core: Core, word: str) -> click.Command | None:
    """Return the commands of an enabled plugin, by its name or another word it answers to.

    Raises ConfigError where they cannot be had.
    """
    offering = _offering(core)
    # Names first: an alias never replaces the name of another plugin.
    for loaded in offering:
        if word == _name_of(loaded.plugin):
            return _commands_of(loaded)
    for loaded in offering:
        if word in loaded.plugin.aliases:
            return _commands_of(loaded)
    return None


def to_read_about(word: str, why: ConfigError | None = None) -> click.Command | None:
    """Return the commands of one of our own plugins, for `--help` alone.

    To run one raises ``why``; without it, that the plugin is not enabled.
    """
    for cls in _ours(word):
        if hasattr(cls, "commands") and word in (_name_of(cls), *cls.aliases):
            found: click.Command = cls.commands(_Anything())
            return _only_help(found, why or _not_enabled(cls))
    return None


def words_of_ours() -> list[str]:
    """Return what the commands of our own plugins would be called, for suggestions."""
    return [folder.replace("_", "-") for folder in builtin_plugins.names()]


def line_of(cls: type[Plugin], words: Sequence[str]) -> str:
    """Return a command of a plugin as an operator types it."""
    return " ".join(("secureml", _name_of(cls), *words))


def _offering(core: Core) -> list[LoadedPlugin]:
    return [loaded for loaded in core.plugins if hasattr(loaded.plugin, "commands")]


def _name_of(plugin: Plugin | type[Plugin]) -> str:
    return plugin.name.replace("_", "-")


def _works(loaded: LoadedPlugin) -> bool:
    try:
        _commands_of(loaded)
    except ConfigError:
        return False  # asked for by its name it says why
    return True


def _commands_of(loaded: LoadedPlugin) -> click.Command:
    found = call_extra(loaded.plugin, "commands")
    if not isinstance(found, click.Command):
        raise ConfigError(
            f"{type(loaded.plugin).__name__}.commands returned {type(found).__name__}",
            table=f"plugins.{loaded.name}",
            fix="return a click.Group",
        )
    return found


def _ours(word: str) -> Iterator[type[Plugin]]:
    """Yield our own plugins, the one of that name first: it is seldom another's second word."""
    for folder in sorted(builtin_plugins.names(), key=lambda name: name != word.replace("-", "_")):
        try:
            yield from loader.find([folder])
        except ConfigError:
            continue  # a library that it needs is not here


def _not_enabled(cls: type[Plugin]) -> ConfigError:
    return ConfigError(
        f"the plugin {cls.name!r} is not enabled here",
        table="secureml",
        key="plugins",
        fix=f"add {cls.name!r} to the list",
    )


def _only_help(command: click.Command, why: ConfigError) -> click.Command:
    """Return a copy that can be read about; the command itself belongs to its module."""
    made = copy.copy(command)
    if isinstance(made, click.Group):
        made.callback = None
        made.commands = {word: _only_help(each, why) for word, each in made.commands.items()}
        return made
    parse = made.parse_args

    def refuse(ctx: click.Context, args: list[str]) -> list[str]:
        if not set(args) & set(ctx.help_option_names):
            raise why
        return parse(ctx, args)

    made.parse_args = refuse  # type: ignore[method-assign]
    return made


class _Anything:
    """Replaces what a plugin makes of an instance, where it will not be used."""

    def __getattr__(self, word: str) -> Any:
        if word.startswith("__"):
            raise AttributeError(word)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __getitem__(self, _: Any) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter((self,))
