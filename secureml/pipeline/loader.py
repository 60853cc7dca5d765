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
from secureml.pipeline.phases import NEVER_OBSERVED, REFUSING, Phase
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
                f"{entry!r} is no plugin name",
                table="secureml",
                key="plugins",
                fix="use a name such as api_keys, or package.module:Class",
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


def check_plugin_set(plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse a set of plugins that would leave the model open or answer in two voices."""
    for phase, fix in (
        (Phase.IDENTIFY, "enable api_keys, or enable `anonymous` to run open on purpose"),
        (Phase.AUTHORIZE, "enable scopes"),
    ):
        if not any(phase in phases_of(loaded.plugin) for loaded in plugins):
            raise ConfigError(
                f"no plugin runs in {phase.name}", table="secureml", key="plugins", fix=fix
            )
    renderers = [loaded.name for loaded in plugins if hasattr(loaded.plugin, "render")]
    if len(renderers) > 1:
        raise ConfigError(
            f"two plugins word refusals: {', '.join(renderers)}",
            table="secureml",
            key="plugins",
            fix="keep one of them",
        )
    _check_issuers(plugins)
    _check_connections(plugins)
    _check_guarded_headers(plugins)
    _check_order(plugins)


def _check_order(plugins: Sequence[LoadedPlugin]) -> None:
    gone: list[str] = []
    for loaded in plugins:
        for other in loaded.plugin.runs_before:
            if other in gone:
                raise ConfigError(
                    f"{loaded.name} comes after {other}, which takes away what it must see",
                    table="secureml",
                    key="plugins",
                    fix=f"name {loaded.name} before {other}",
                )
        gone.append(loaded.name)
    for phase in Phase:
        _check_ends(phase, [each for each in plugins if phase in phases_of(each.plugin)])


def _check_ends(phase: Phase, in_phase: Sequence[LoadedPlugin]) -> None:
    """Refuse a phase in which a plugin that must be the first or the last is in the middle."""
    for number, loaded in enumerate(in_phase):
        if phase.value in loaded.plugin.first_at and number > 0:
            raise ConfigError(
                f"{in_phase[0].name} comes before {loaded.name} at {phase.name}, and so cannot see "
                f"what {loaded.name} finds out",
                table="secureml",
                key="plugins",
                fix=f"name {loaded.name} before {in_phase[0].name}",
            )
        if phase.value in loaded.plugin.last_at and number < len(in_phase) - 1:
            raise ConfigError(
                f"{in_phase[-1].name} comes after {loaded.name} at {phase.name}, and would never "
                "be asked",
                table="secureml",
                key="plugins",
                fix=f"name {loaded.name} after {in_phase[-1].name}",
            )


def _check_guarded_headers(plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse a guard that looks for credentials in other headers than those they come in."""
    for guard in plugins:
        watched = {header.lower() for header in guard.plugin.guards_headers}
        for loaded in plugins:
            credential_header = loaded.plugin.credential_header
            if watched and credential_header and credential_header.lower() not in watched:
                raise ConfigError(
                    f"{loaded.name} reads credentials from {credential_header}, where {guard.name} "
                    "does not look",
                    table=f"plugins.{guard.name}",
                    key="headers",
                    fix=f"add {credential_header!r}",
                )


def _check_issuers(plugins: Sequence[LoadedPlugin]) -> None:
    owners: dict[str, str] = {}
    for loaded in plugins:
        for issuer in loaded.plugin.issuers:
            other = owners.setdefault(issuer, loaded.name)
            if other != loaded.name:
                raise ConfigError(
                    f"{other} and {loaded.name} both believe tokens of {issuer}",
                    table=f"plugins.{loaded.name}",
                    key="issuer",
                    fix="give each an issuer of its own, such as another path of one address",
                )


def _check_connections(plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse a plugin that believes the edge where nobody can tell it, or before a header."""
    naming = [loaded for loaded in plugins if loaded.plugin.identifies_by_connection]
    for loaded in naming:
        if not any(other.plugin.verifies_proxy for other in plugins):
            raise ConfigError(
                f"{loaded.name} believes what the proxy says, and nothing proves who the proxy is",
                table="plugins.transport",
                key="edge_token",
                fix="enable transport, with `trusted` and `edge_token`",
            )
        behind = plugins[plugins.index(loaded) + 1 :]
        late = [each.name for each in behind if each.plugin.credential_header]
        if late:
            raise ConfigError(
                f"{loaded.name} would name the caller before {late[0]} has read its credential",
                table="secureml",
                key="plugins",
                fix=f"name {loaded.name!r} after {late[-1]!r}",
            )


def credential_headers(plugins: Sequence[LoadedPlugin]) -> set[str]:
    """Return the headers that credentials travel in."""
    headers = (loaded.plugin.credential_header for loaded in plugins)
    return {header for header in headers if header}


def in_environ(header: str) -> str:
    """Return the name of a header in a WSGI environment."""
    return f"HTTP_{header.upper().replace('-', '_')}"
