"""The plugins of the package ``plugins``, enabled or not.

Nothing is enabled by being found here: help, advice and sealing know them, the server does not.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING

from secureml.config_error import ConfigError
from secureml.pipeline import loader
from secureml.pipeline.plugin import Plugin

if TYPE_CHECKING:
    from secureml.models.card_section import CardSection


def names() -> list[str]:
    """Return the names of the packages."""
    package = find_spec("plugins")
    folders = list((package and package.submodule_search_locations) or ())
    return [module.name for module in pkgutil.iter_modules(folders) if module.ispkg]


# What `secureml init` enables: the list of its settings, and of the example of all settings.
DEFAULT = (
    "transport",
    "rate_limit",
    "api_keys",
    "scopes",
    "input_rules",
    "output_rules",
    "model_integrity",
    "security_headers",
    "errors",
    "metrics",
    "access_log",
    "audit_log",
)


def classes() -> list[type[Plugin]]:
    """Return the class of each that can be imported; one may need a library that is not here."""
    found = []
    for name in names():
        try:
            found += loader.find([name])
        except ConfigError:
            continue
    return found


def suited(fits: Callable[[type[Plugin]], bool]) -> str:
    """Return the names of those that would do, as an operator writes them: 'a' or 'b'.

    One with a risk is last, with its risk.
    """
    found = sorted(filter(fits, classes()), key=lambda cls: (bool(cls.risk), cls.name))
    words = [f"{cls.name!r}{f' (it {cls.risk})' * bool(cls.risk)}" for cls in found]
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def card_sections_of(classes: Sequence[type[Plugin]]) -> dict[str, CardSection]:
    """Return what these plugins keep on the cards of models, by their names."""
    return {cls.name: cls.card_section for cls in classes if cls.card_section is not None}


@cache
def card_sections() -> Mapping[str, CardSection]:
    """Return what built-in plugins keep on cards.

    So that one which is enabled later finds its section on models that were sealed before. Only
    packages with a module ``card_section`` are imported: sealing need not wait for the others.
    """
    found = [name for name in names() if find_spec(f"plugins.{name}.card_section")]
    return MappingProxyType(card_sections_of(loader.find(found)))
