"""SecureML: a scikit-learn model behind eight phases of checks.

What nearly every plugin needs is here; the modules of `secureml.kit` hold what some need, by
topic. Nothing else is public.
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
from secureml.pipeline.events import Event, Measure
from secureml.pipeline.exchange import Exchange, Refusal
from secureml.pipeline.phases import Phase
from secureml.pipeline.plugin import Host, Plugin
from secureml.pipeline.policy import Policy, public, requires
from secureml.pipeline.principal import Credential, Principal
from secureml.pipeline.problems import Kind, Problem
from secureml.state.clients import Client
from secureml.state.store import Store, StoreUnavailable

if TYPE_CHECKING:
    from secureml.models.artifact.version_files import Artifact, ModelRefused
    from secureml.models.card import Card
    from secureml.models.serving.handle import ModelHandle
    from secureml.models.serving.result import Result
    from secureml.notebook import seal

_LAZY = {
    "Artifact": "secureml.models.artifact.version_files",
    "ModelRefused": "secureml.models.artifact.version_files",
    "Card": "secureml.models.card",
    "ModelHandle": "secureml.models.serving.handle",
    "Result": "secureml.models.serving.result",
    "seal": "secureml.notebook",
}

__all__ = [
    "Artifact",
    "Card",
    "Client",
    "ConfigError",
    "Credential",
    "Event",
    "Exchange",
    "Host",
    "Kind",
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
    "Store",
    "StoreUnavailable",
    "public",
    "requires",
    "seal",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'secureml' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
