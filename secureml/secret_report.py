"""Which secrets an instance uses, by table and key, and how old each is; never what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from secureml.config_error import ConfigError
from secureml.state.secrets.local_sources import SCHEMES
from secureml.state.secrets.references import SecretSource

if TYPE_CHECKING:
    from secureml.core import Core

DAY = 86400.0


class SecretAge(NamedTuple):
    """One reference in use; ``age`` in seconds, None where its source does not tell."""

    table: str
    key: str
    reference: str
    age: float | None
    old: bool

    def line(self) -> str:
        """Return what people read."""
        age = "age unknown" if self.age is None else f"{int(self.age // DAY)} days old"
        return f"secret [{self.table}] {self.key} {self.reference}, {age}"

    def warning(self) -> str:
        """Return the one line that asks for a rotation."""
        return f"{self.line()}: rotate it"


def ages(core: Core, now: float, *, managers: bool = True) -> list[SecretAge]:
    """Return every reference in use with its age now, epoch seconds, in the order of settings.

    Without ``managers`` no secrets manager is contacted: its secrets are left out.
    """
    base, oldest = core.settings.instance, core.settings.secrets.warn_age
    found = []
    for table, key, source in in_use(core):
        if not managers and source.reference.partition(":")[0] not in SCHEMES:
            continue
        age = _age(source, base, now)
        old = age is not None and age > oldest
        found.append(SecretAge(table, key, source.reference, age, old))
    return found


def _age(source: SecretSource, base: Any, now: float) -> float | None:
    try:
        changed = source.look(base).changed
    except ConfigError:
        return None  # it was there a moment ago, at the start; a warning must not become a failure
    return None if changed is None else max(0.0, now - changed)


def in_use(core: Core) -> Iterator[tuple[str, str, SecretSource]]:
    """Yield table, key and source of every reference in the settings but former ones."""
    terms = core.settings.secrets
    if terms.vault is not None:
        for key in ("token", "role_id", "secret_id"):
            if reference := getattr(terms.vault, key):
                yield "secrets.vault", key, SecretSource(reference)
    for loaded in core.plugins:
        words = dict(core.settings.plugin_tables.get(loaded.name, {}))
        words.pop("mode", None)
        for key, source in _within(loaded.plugin.schema().load(words), ""):
            if key.startswith("former_"):
                continue  # it is old because it was rotated
            yield f"plugins.{loaded.name}", key, source


def _within(value: Any, key: str) -> Iterator[tuple[str, SecretSource]]:
    if isinstance(value, SecretSource):
        yield key, value
    elif isinstance(value, Mapping):
        for word, inner in value.items():
            yield from _within(inner, f"{key}.{word}" if key else str(word))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for number, inner in enumerate(value):
            yield from _within(inner, f"{key}[{number}]")
