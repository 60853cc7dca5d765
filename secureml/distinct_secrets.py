"""Two settings must not share one secret: a leak of one would reveal the other.

The edge token lies in Nginx's configuration; as the audit key as well it would let whoever reads
that write another history. Values are compared and never shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secureml.config_error import ConfigError
from secureml.secret_report import in_use
from secureml.state.secrets.references import SecretSource, is_local

if TYPE_CHECKING:
    from secureml.core import Core


def check(core: Core) -> None:
    """Raise ConfigError where two settings name the same secret, by its place or by its value.

    A secrets manager is not asked once more: of what it holds the references are compared.
    """
    seen: dict[str | bytes, tuple[str, str]] = {}
    for table, key, source in in_use(core):
        place = (table, key.partition("[")[0])
        for mark in _marks(source, core):
            other = seen.setdefault(mark, place)
            if other != place:
                raise ConfigError(
                    f"this is the same secret as [{other[0]}] {other[1]}, so one leak reveals both",
                    file=core.settings.file,
                    table=table,
                    key=key,
                    fix="make a separate one for each: openssl rand -hex 32",
                )


def _marks(source: SecretSource, core: Core) -> list[str | bytes]:
    if not is_local(source.reference):
        return [source.reference]
    try:
        return [source.read(core.settings.instance).reveal()]
    except ConfigError:
        return [source.reference]  # the user of the secret reports what is wrong
