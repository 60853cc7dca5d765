"""SecureML: a scikit-learn model behind eight doors.

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
from secureml.corridor.events import Event, Measure
from secureml.corridor.exchange import (
    ASKED_ABOUT,
    Credential,
    Exchange,
    Notice,
    Principal,
    Refusal,
    invalid_input,
)
from secureml.corridor.outline import Outline, Route, outline
from secureml.corridor.phases import Phase
from secureml.corridor.plugin import Host, Plugin
from secureml.corridor.policy import Policy, public, requires
from secureml.corridor.problems import Fault, Kind, Problem
from secureml.state import fields
from secureml.state.clients import Client
from secureml.state.rights import covers, covers_all, meet
from secureml.state.secret import LiveSecret, Secret, SecretUnavailable
from secureml.state.signing import SigningFault, SigningKeys
from secureml.state.store import Store, StoreUnavailable

if TYPE_CHECKING:
    import secureml.cli.output as output  # noqa: PLR0402 - a re-export says `as`
    import secureml.models.signature as signature  # noqa: PLR0402
    from secureml.models.artifact import Artifact, ModelRefused
    from secureml.models.card import Card
    from secureml.models.handle import ModelHandle, Result
    from secureml.models.judging import Judge, Terms, Verdict
    from secureml.models.likeness import Likeness

_LAZY = {
    "Artifact": "secureml.models.artifact",
    "ModelRefused": "secureml.models.artifact",
    "Card": "secureml.models.card",
    "ModelHandle": "secureml.models.handle",
    "Result": "secureml.models.handle",
    "Judge": "secureml.models.judging",
    "Terms": "secureml.models.judging",
    "Verdict": "secureml.models.judging",
    "Likeness": "secureml.models.likeness",
    "output": "secureml.cli",
    "signature": "secureml.models",
}

__all__ = [
    "ASKED_ABOUT",
    "Artifact",
    "Card",
    "Client",
    "ConfigError",
    "Credential",
    "Event",
    "Exchange",
    "Fault",
    "Host",
    "Judge",
    "Kind",
    "Likeness",
    "LiveSecret",
    "Measure",
    "ModelHandle",
    "ModelRefused",
    "Notice",
    "Outline",
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
    "SigningFault",
    "SigningKeys",
    "Store",
    "StoreUnavailable",
    "Terms",
    "Verdict",
    "covers",
    "covers_all",
    "fields",
    "invalid_input",
    "meet",
    "outline",
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
