"""SecureML: a scikit-learn model behind eight phases of checks.

This is the plugin author's whole vocabulary; nothing else is public.
Names that need scikit-learn are loaded when first asked for, so that commands which do
not touch a model start fast.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if sys.argv[:1] == ["-m"]:
    # `python -m secureml.cli` is on its way, and has put the working directory first.
    from secureml.import_path import leave_working_directory

    leave_working_directory()

from secureml.config_error import ConfigError
from secureml.pipeline.description import AppDescription, Route, describe_app
from secureml.pipeline.events import Event, Measure
from secureml.pipeline.exchange import (
    EXPLAIN_METHOD,
    Credential,
    Exchange,
    InputWarning,
    Principal,
    Refusal,
    invalid_input,
)
from secureml.pipeline.phases import Phase
from secureml.pipeline.plugin import Host, Plugin
from secureml.pipeline.policy import Policy, public, requires
from secureml.pipeline.problems import Fault, Kind, Problem
from secureml.state import fields
from secureml.state.clients import Client
from secureml.state.scopes import implies, implies_all, intersect
from secureml.state.secrets.references import LiveSecret, Secret, SecretUnavailable
from secureml.state.signing import SigningFault, SigningKeys
from secureml.state.store import Store, StoreUnavailable

if TYPE_CHECKING:
    import secureml.cli.output as output  # noqa: PLR0402 - a re-export says `as`
    import secureml.models.artifact.signature as signature  # noqa: PLR0402
    from secureml.models.artifact.version_files import Artifact, ModelRefused
    from secureml.models.card import Card, Feature, Section
    from secureml.models.card_section import CardSection, Training
    from secureml.models.serving.handle import ModelHandle, Result

_LAZY = {
    "Artifact": "secureml.models.artifact.version_files",
    "ModelRefused": "secureml.models.artifact.version_files",
    "Card": "secureml.models.card",
    "ModelHandle": "secureml.models.serving.handle",
    "Result": "secureml.models.serving.handle",
    "Feature": "secureml.models.card",
    "Section": "secureml.models.card",
    "CardSection": "secureml.models.card_section",
    "Training": "secureml.models.card_section",
    "output": "secureml.cli",
    "signature": "secureml.models.artifact",
}

__all__ = [
    "EXPLAIN_METHOD",
    "AppDescription",
    "Artifact",
    "Card",
    "CardSection",
    "Client",
    "ConfigError",
    "Credential",
    "Event",
    "Exchange",
    "Fault",
    "Feature",
    "Host",
    "InputWarning",
    "Kind",
    "LiveSecret",
    "Measure",
    "ModelHandle",
    "ModelRefused",
    "Phase",
    "Plugin",
    "Policy",
    "Principal",
    "Problem",
    "Refusal",
    "Result",
    "Route",
    "Secret",
    "SecretUnavailable",
    "Section",
    "SigningFault",
    "SigningKeys",
    "Store",
    "StoreUnavailable",
    "Training",
    "describe_app",
    "fields",
    "implies",
    "implies_all",
    "intersect",
    "invalid_input",
    "output",
    "public",
    "requires",
    "signature",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'secureml' has no attribute {name!r}")
    import importlib

    home = importlib.import_module(_LAZY[name])
    try:
        return getattr(home, name)
    except AttributeError:
        return importlib.import_module(f"{_LAZY[name]}.{name}")
