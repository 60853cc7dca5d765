"""What the enabled plugins need of the proxy in front of the application, put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from secureml.config_error import ConfigError
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.pipeline.loader import LoadedPlugin


@dataclass(frozen=True, slots=True)
class Proxy:
    """What the proxy must know or do; each with the name of the plugin that requires it.

    ``hosts`` are by name, ``token`` is a reference to a secret, and paths are relative to the
    instance folder.
    """

    hosts: Mapping[str, str] = field(default_factory=dict)
    allowed_origins: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    token_plugin: str = ""
    client_authorities: str = ""
    client_revocations: str = ""


def required(plugins: Sequence[LoadedPlugin]) -> Proxy:
    """Return what these plugins need; raises ConfigError where two need what excludes the other."""
    token, token_plugin = _one(plugins, "token", "have the proxy send different tokens")
    authorities, asking = _one(plugins, "client_authorities", "name authorities of clients")
    revocations = {name: each.client_revocations for name, each in _requirements(plugins)}
    return Proxy(
        _all(plugins, "hosts"),
        _all(plugins, "allowed_origins"),
        token,
        token_plugin,
        authorities,
        revocations.get(asking, ""),
    )


def _requirements(plugins: Sequence[LoadedPlugin]) -> Iterator[tuple[str, ProxyRequirements]]:
    for loaded in plugins:
        found = loaded.plugin.proxy_requirements
        if found is not None:
            yield loaded.name, found


def _all(plugins: Sequence[LoadedPlugin], word: str) -> dict[str, str]:
    """Return the values of every plugin, each once and in order, with the first that names it."""
    found: dict[str, str] = {}
    for name, each in _requirements(plugins):
        for value in getattr(each, word):
            found.setdefault(value, name)
    return found


def _one(plugins: Sequence[LoadedPlugin], word: str, what: str) -> tuple[str, str]:
    """Return the one value that plugins agree on, and the first plugin that names it."""
    found: dict[str, str] = {}
    for name, each in _requirements(plugins):
        if value := getattr(each, word):
            found.setdefault(value, name)
    if len(found) > 1:
        first, second = list(found.values())[:2]
        raise ConfigError(
            f"{first} and {second} {what}, and the proxy takes one",
            table="secureml",
            key="plugins",
            fix="give both the same, or remove one of them",
        )
    return next(iter(found.items()), ("", ""))
