"""Secrets by reference: a settings file names where a secret is, never the secret itself.

``read`` gives what it is now, ``watch`` what it is at any later moment. Which managers there
are and how long a value may serve is said once for each instance folder, by ``configure``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from secureml.config_error import ConfigError
from secureml.state.secrets import aws, local_sources, vault
from secureml.state.secrets.file import FileSecret
from secureml.state.secrets.live import LiveSecret, RefreshPolicy
from secureml.state.secrets.polled import PolledSecret
from secureml.state.secrets.value import Reading, Secret, SecretUnavailable

__all__ = [
    "LiveSecret",
    "Reading",
    "RefreshPolicy",
    "Secret",
    "SecretOptions",
    "SecretSource",
    "SecretUnavailable",
    "configure",
    "is_local",
    "is_reference",
    "literal_refused",
]

_SCHEMES = (*local_sources.SCHEMES, "vault", "aws")


@dataclass(frozen=True, slots=True)
class SecretOptions:
    """The checked ``[secrets]`` table; a manager without a table of its own is None."""

    live: RefreshPolicy = field(default_factory=RefreshPolicy)
    warn_age: float = 90 * 86400.0
    vault: vault.VaultOptions | None = None
    aws: aws.AwsOptions | None = None


class _Locations:
    """The managers of one instance folder, each made when the first reference asks for it."""

    def __init__(self, options: SecretOptions, base: Path) -> None:
        self.live = options.live
        self._options, self._base = options, base
        self._readers: dict[str, Callable[[str], Reading]] = {}

    def reader(self, scheme: str) -> Callable[[str], Reading]:
        if scheme not in self._readers:
            made = self._vault() if scheme == "vault" else self._aws()
            self._readers[scheme] = made
        return self._readers[scheme]

    def _vault(self) -> Callable[[str], Reading]:
        if self._options.vault is None:
            raise _unknown_manager("vault", 'url = "https://HOST:8200"')
        return vault.Vault(self._options.vault, self._base).read

    def _aws(self) -> Callable[[str], Reading]:
        if self._options.aws is None:
            raise _unknown_manager("aws", 'region = "eu-central-1"')
        return aws.Aws(self._options.aws).read


_locations: dict[Path, _Locations] = {}


def configure(base: Path, options: SecretOptions) -> None:
    """Say what holds for the references under an instance folder; the last word counts."""
    _locations[base] = _Locations(options, base)


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret is to be had."""

    reference: str

    def read(self, base: Path) -> Secret:
        """Return the secret; relative files are under ``base``. Raises ConfigError."""
        return self.look(base).secret

    def look(self, base: Path) -> Reading:
        """Return the secret and when it last changed, where that is known. Raises ConfigError."""
        scheme, place = self._parts()
        if scheme in local_sources.SCHEMES:
            return local_sources.read(scheme, place, base)
        return _locations_of(base).reader(scheme)(place)

    def watch(
        self,
        base: Path,
        every: float | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> LiveSecret:
        """Read the secret and follow it; ``every`` is in seconds, else ``[secrets] refresh``.

        Raises ConfigError when it cannot be read now.
        """
        scheme, place = self._parts()
        options = _locations_of(base).live
        if every is not None:
            options = replace(options, refresh=every)
        if scheme not in local_sources.SCHEMES:
            return PolledSecret(self.reference, partial(self.look, base), options, monotonic)
        path = local_sources.path_of(scheme, place, base)
        if path is None:
            return LiveSecret(self.reference, self.look(base), options, monotonic)
        return FileSecret(self.reference, path, scheme, options, monotonic, now)

    def _parts(self) -> tuple[str, str]:
        if not is_reference(self.reference):
            raise literal_refused()
        scheme, _, place = self.reference.partition(":")
        return scheme, place


def _locations_of(base: Path) -> _Locations:
    return _locations.get(base) or _Locations(SecretOptions(), base)


def _unknown_manager(name: str, example: str) -> ConfigError:
    return ConfigError(
        f"{name}: references need the table [secrets.{name}], which is missing",
        fix=f"add [secrets.{name}] with {example}",
    )


def literal_refused() -> ConfigError:
    """Return the refusal of a secret written out; it does not repeat what was written."""
    known = " or ".join(f"{scheme}:..." for scheme in _SCHEMES)
    return ConfigError(
        "this must be a reference: secrets are never written into a settings file",
        fix=f"write {known}",
    )


def is_reference(text: str) -> bool:
    """Tell whether a text names a place for a secret."""
    scheme, _, place = text.partition(":")
    return scheme in _SCHEMES and bool(place)


def is_local(text: str) -> bool:
    """Tell whether a text names a place on this machine."""
    return is_reference(text) and text.partition(":")[0] in local_sources.SCHEMES
