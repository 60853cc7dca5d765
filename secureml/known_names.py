"""Names in settings, held to what there is: routes' scopes, plugins, clients, tiers and models."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from secureml.config_error import ConfigError
from secureml.pipeline import policy
from secureml.pipeline import references as referred
from secureml.pipeline.references import (
    CLIENT,
    DEFINES_SCOPE,
    MODEL,
    PLUGIN,
    SCOPE,
    TIER,
    Reference,
)
from secureml.state.store import StoreUnavailable

if TYPE_CHECKING:
    from flask import Flask

    from secureml.core import Core

log = logging.getLogger("secureml")


def scopes_of(app: Flask, core: Core) -> frozenset[str]:
    """Return the scopes that mean something here: routes demand them, or a plugin or grant does."""
    found = {each.scope for each in policy.collect(app).values() if each.scope}
    for loaded in core.plugins:
        found.update(loaded.plugin.scopes)
        found.update(each.name for each in loaded.references if each.kind == DEFINES_SCOPE)
    return frozenset(found)


def unknown_data(core: Core) -> list[tuple[Reference, ConfigError]]:
    """Return the names in settings that match no client, tier or model of this instance.

    Commands add and take away what they name, so a start warns of them and `secureml check`
    refuses. Raises StoreUnavailable.
    """
    found = [each for loaded in core.plugins for each in loaded.references]
    if not any(each.kind in (CLIENT, TIER, MODEL) for each in found):
        return []
    clients = core.clients.list()
    known = {
        CLIENT: {client.name for client in clients},
        TIER: {client.tier for client in clients},
        MODEL: set(core.models.names_on_disk()),
    }
    return [
        (each, fault.within(file=core.settings.file))
        for each, fault in referred.unknown(found, known)
    ]


def refuse_unknown(app: Flask, core: Core) -> None:
    """Refuse a setting that names a scope or plugin that is not there."""
    found = [each for loaded in core.plugins for each in loaded.references]
    known = {
        SCOPE: scopes_of(app, core),
        PLUGIN: {loaded.name for loaded in core.plugins},
    }
    for _, fault in referred.unknown(found, known):
        raise fault.within(file=core.settings.file)


def warn_of_unknown(core: Core) -> None:
    """Log each name in the settings that matches no client, tier or model."""
    try:
        for _, fault in unknown_data(core):
            log.warning("%s", fault)
    except StoreUnavailable:
        log.warning(
            "the names of clients in the settings could not be checked: the store is unavailable"
        )
