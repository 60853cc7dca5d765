"""The start, told from top to bottom. Any step may stop it with one line; none may open a door.

Nothing here opens a socket, thread or database handle: Gunicorn loads the app once and
forks, so everything that cannot cross a fork is opened on first use.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flask import Blueprint, Flask

from secureml import api, known_names
from secureml.application import Application
from secureml.config_error import ConfigError
from secureml.core import House, furnish, load_models
from secureml.corridor import events, policy
from secureml.corridor.loader import Loaded
from secureml.corridor.phases import OBSERVABLE, Phase
from secureml.corridor.pipeline import Pipeline, Routes
from secureml.corridor.plugin import doors_of
from secureml.corridor.plugin_faults import asked, raised
from secureml.corridor.problems import Catalogue
from secureml.state.store import StoreUnavailable

log = logging.getLogger("secureml")


def create_app(
    instance: str | Path | None = None,
    *,
    now: Callable[[], float] = time.time,
    warn: bool = True,
) -> Flask:
    """Return the app behind all its doors, or raise ConfigError with the fix.

    Without ``warn`` nothing is logged of names that match no client or model: `secureml check`
    says it itself.
    """
    house = furnish(instance, now=now)
    load_models(house)
    pipeline = Pipeline(house.plugins, _catalogue(house), now=now, refusals=house.refusals)
    app = Application(pipeline, house.store.glance)
    _register_routes(app, house)
    routes = Routes(_policies(app, house), _preparation(house))
    _survey(app, house)
    known_names.refuse_unknown(app, house)
    if warn:
        known_names.warn_of_unknown(house)
    pipeline.attach(app, routes)
    app.extensions["secureml"] = house
    _announce(house)
    return app


def _catalogue(house: House) -> Catalogue:
    added = [kind for loaded in house.plugins for kind in loaded.plugin.problems]
    try:
        return Catalogue(added)
    except ValueError as error:
        raise ConfigError(
            str(error), file=house.settings.file, table="secureml", key="plugins"
        ) from None


def _register_routes(app: Flask, house: House) -> None:
    app.register_blueprint(api.blueprint(house.models, _readiness(house)))
    for loaded in house.plugins:
        if hasattr(loaded.plugin, "blueprint"):
            try:
                _mount(app, loaded)
            except ConfigError as error:
                raise error.within(file=house.settings.file) from None


def _mount(app: Flask, loaded: Loaded) -> None:
    """Add the routes of a plugin; raises ConfigError where they cannot be."""
    plugin, cls = loaded.plugin, type(loaded.plugin)
    found = asked(plugin, "blueprint")
    if not isinstance(found, Blueprint):
        raise ConfigError(
            f"{cls.__name__}.blueprint returned {type(found).__name__}",
            table=f"plugins.{loaded.name}",
            fix="return a flask.Blueprint",
        )
    try:
        app.register_blueprint(found)
    except BaseException as error:
        raise raised(loaded.name, "to add its blueprint", cls, error) from error


def _survey(app: Flask, house: House) -> None:
    """Show every route to the plugins whose settings name some, before anything is served."""
    found = frozenset(rule.rule for rule in app.url_map.iter_rules())
    for loaded in house.plugins:
        if hasattr(loaded.plugin, "survey"):
            try:
                asked(loaded.plugin, "survey", found)
            except ConfigError as error:
                raise error.within(file=house.settings.file) from None


def known_scopes(house: House) -> frozenset[str]:
    """Return the same for a command, which needs no model and serves nothing."""
    app = Application(
        Pipeline(house.plugins, _catalogue(house), refusals=house.refusals), house.store.glance
    )
    _register_routes(app, house)
    return known_names.scopes_of(app, house)


def _policies(app: Flask, house: House) -> dict[str, policy.Policy]:
    try:
        return policy.collect(app)
    except ConfigError as error:
        raise error.within(file=house.settings.file) from None


def _preparation(house: House) -> api.Preparation:
    return api.Preparation(house.models, house.settings.limits, house.settings.body_limit)


def _readiness(house: House) -> list[Callable[[], str | None]]:
    def store_answers() -> str | None:
        try:
            house.store.version("clients")
        except StoreUnavailable:
            return "store_unavailable"
        return None

    def a_model_is_loaded() -> str | None:
        return None if house.models.names() else "no_model"

    return [
        store_answers,
        a_model_is_loaded,
        *events.readiness(loaded.plugin for loaded in house.plugins),
    ]


def table_of_doors(plugins: Sequence[Loaded]) -> list[tuple[Phase, list[str]]]:
    """Return who stands at which door, in order; a trailing ? marks who observes there."""
    return [
        (
            phase,
            [
                loaded.name + "?" * (loaded.observe and phase in OBSERVABLE)
                for loaded in plugins
                if phase in doors_of(loaded.plugin)
            ],
        )
        for phase in Phase
    ]


def _announce(house: House) -> None:
    for phase, names in table_of_doors(house.plugins):
        log.info("%-9s %s", phase.name, ", ".join(names) or "-")
    for loaded in house.plugins:
        if loaded.observe:
            log.warning("%s only observes: it refuses nothing and changes no answer", loaded.name)
    for risk in sorted(house.settings.accept_risk):
        log.warning("accepted risk: %s", risk)
