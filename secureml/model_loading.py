"""Loads the models of a start: all of them are proved before anything is served."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from secureml.config_error import ConfigError, did_you_mean
from secureml.core import Core
from secureml.models.artifact.version_files import ModelRefused
from secureml.settings import Settings
from secureml.state.deployments import Deployment
from secureml.state.store import StoreUnavailable

log = logging.getLogger("secureml")


def load_models(core: Core) -> None:
    """Prove and load every current model.

    One that fails any check is closed and the others answer; where none is left the start stops.
    """
    _demand_models_folder(core.settings)
    _check_allow(core.settings)
    try:
        core.models.load_all(_deployments(core))
    except ModelRefused as error:
        raise ConfigError(str(error), file=str(core.settings.models_folder)) from error
    _check_allow(core.settings)  # of modules that the models have imported, more can be told
    for refused in core.models.refused().values():
        log.error("closed: %s", refused)


def _deployments(core: Core) -> Mapping[str, Deployment]:
    """Return which versions to load beside those in use; of a store that is away, none for now."""
    try:
        return core.serving.deployments.read()
    except StoreUnavailable as error:
        log.warning("versions on trial and loaded versions are not known yet: %s", error)
        return {}
    finally:
        core.store.close()  # workers inherit nothing that is open


def _check_allow(found: Settings) -> None:
    """Refuse a name that no model could use: it would be found when a model that needs it is not.

    Only where models are loaded: a command that needs none may run without their modules, and
    without scikit-learn, which this imports.
    """
    from secureml.models.unpickling.allowlist import check_extra

    try:
        check_extra(found.models_allow)
    except ModelRefused as error:
        raise ConfigError(
            error.message, file=found.file, table="models", key="allow", fix=error.fix
        ) from None


def _demand_models_folder(found: Settings) -> None:
    """Refuse a folder that is not there: a server without any model would start without a word."""
    if found.models_folder.is_dir():
        return
    folders = [path.name for path in found.instance.iterdir() if path.is_dir()]
    raise ConfigError(
        f"the instance folder has no folder {found.models_folder.name!r}",
        file=found.file,
        table="models",
        key="folder",
        fix=f"{did_you_mean(found.models_folder.name, folders)}name the folder of sealed models, "
        "or make it with `secureml init`",
    )
