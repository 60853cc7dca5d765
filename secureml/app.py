"""The start, from top to bottom. Any step may stop it with one line; none may open anything.

Nothing here opens a socket, thread or database handle: Gunicorn loads the app once and
forks, so everything that cannot cross a fork is opened on first use.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flask import Blueprint, Flask

from secureml import api, body_memory, known_names, store_location
from secureml.config_error import ConfigError
from secureml.core import Core, build_core
from secureml.flask_app import SecureFlask
from secureml.model_loading import load_models
from secureml.pipeline import policy
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.phases import OBSERVABLE, Phase
from secureml.pipeline.pipeline import Pipeline
from secureml.pipeline.plugin import phases_of
from secureml.pipeline.plugin_errors import call_extra, raised
from secureml.pipeline.problems import Catalogue
from secureml.pipeline.routes import Routes
from secureml.state.schema import SchemaMismatch
from secureml.state.store import StoreUnavailable

log = logging.getLogger("secureml")


def create_app(
    instance: str | Path | None = None,
    *,
    now: Callable[[], float] = time.time,
    warn: bool = True,
) -> Flask:
    """Return the app with all its phases, or raise ConfigError with the fix.

    Without ``warn`` nothing is logged of names that match no client or model: `secureml check`
    says it itself.
    """
    core = build_core(instance, now=now)
    _check_schema(core)
    load_models(core)
    pipeline = Pipeline(core.plugins, _catalogue(core), now=now, refusals=core.refusals)
    app = SecureFlask(pipeline, core.store.snapshot)
    _register_routes(app, core)
    routes = Routes(_policies(app, core), _preparation(core), core.serving.choice)
    _check_routes(app, core)
    known_names.refuse_unknown(app, core)
    if warn:
        known_names.warn_of_unknown(core)
    pipeline.attach(app, routes)
    app.extensions["secureml"] = core
    _announce(core)
    return app


def _check_schema(core: Core) -> None:
    """Stop the start where the store's tables are of another version; make nothing.

    A store that does not answer stops nothing: each request is refused until it does.
    """
    try:
        core.store.demand_current_schema()
    except SchemaMismatch as error:
        raise ConfigError(
            error.message, file=core.settings.file, table="store", key="url", fix=error.fix
        ) from None
    except StoreUnavailable:
        return  # said below, where versions on trial are not known for it


def _catalogue(core: Core) -> Catalogue:
    added = [kind for loaded in core.plugins for kind in loaded.plugin.problems]
    try:
        return Catalogue(added)
    except ValueError as error:
        raise ConfigError(
            str(error), file=core.settings.file, table="secureml", key="plugins"
        ) from None


def _register_routes(app: Flask, core: Core) -> None:
    app.register_blueprint(api.blueprint(core.models, core.readiness()))
    for loaded in core.plugins:
        if hasattr(loaded.plugin, "blueprint"):
            try:
                _mount(app, loaded)
            except ConfigError as error:
                raise error.within(file=core.settings.file) from None


def _mount(app: Flask, loaded: LoadedPlugin) -> None:
    """Add the routes of a plugin; raises ConfigError where they cannot be."""
    plugin, cls = loaded.plugin, type(loaded.plugin)
    found = call_extra(plugin, "blueprint")
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


def _check_routes(app: Flask, core: Core) -> None:
    """Show every route to the plugins whose settings name some, before anything is served."""
    found = frozenset(rule.rule for rule in app.url_map.iter_rules())
    for loaded in core.plugins:
        if hasattr(loaded.plugin, "check_routes"):
            try:
                call_extra(loaded.plugin, "check_routes", found)
            except ConfigError as error:
                raise error.within(file=core.settings.file) from None


def known_scopes(core: Core) -> frozenset[str]:
    """Return the same for a command, which needs no model and serves nothing."""
    app = SecureFlask(
        Pipeline(core.plugins, _catalogue(core), refusals=core.refusals), core.store.snapshot
    )
    _register_routes(app, core)
    return known_names.scopes_of(app, core)


def _policies(app: Flask, core: Core) -> dict[str, policy.Policy]:
    try:
        return policy.collect(app)
    except ConfigError as error:
        raise error.within(file=core.settings.file) from None


def _preparation(core: Core) -> api.RequestPreparation:
    settings = core.settings
    largest = body_memory.largest(settings)
    return api.RequestPreparation(core.models, settings.limits, settings.body_limit, largest)


def phase_table(plugins: Sequence[LoadedPlugin]) -> list[tuple[Phase, list[str]]]:
    """Return who runs in which phase, in order; a trailing ? marks who observes there."""
    return [
        (
            phase,
            [
                loaded.name + "?" * (loaded.observe and phase in OBSERVABLE)
                for loaded in plugins
                if phase in phases_of(loaded.plugin)
            ],
        )
        for phase in Phase
    ]


def _announce(core: Core) -> None:
    for phase, names in phase_table(core.plugins):
        log.info("%-9s %s", phase.name, ", ".join(names) or "-")
    for loaded in core.plugins:
        if loaded.observe:
            log.warning(
                "%s is in observe mode: it refuses nothing and changes no answer", loaded.name
            )
    file = core.settings.store_file
    if file is not None and (far := store_location.warning(file, core.settings.instance)):
        log.warning("%s", far)
    for risk in sorted(core.settings.accept_risk):
        log.warning("accepted risk: %s", risk)
