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

from . import aws, local_secrets, vault
from .file_secret import FileSecret
from .live_secret import LiveSecret, Terms
from .polled_secret import PolledSecret
from .secret_value import Reading, Secret, SecretUnavailable

__all__ = [
    "LiveSecret",
    "Reading",
    "Secret",
    "SecretSource",
    "SecretTerms",
    "SecretUnavailable",
    "Terms",
    "configure",
    "is_local",
    "is_reference",
    "literal_refused",
]

_SCHEMES = (*local_secrets.SCHEMES, "vault", "aws")


@dataclass(frozen=True, slots=True)
class SecretTerms:
    """The checked ``[secrets]`` table; a manager without a table of its own is None."""

    live: Terms = field(default_factory=Terms)
    warn_age: float = 90 * 86400.0
    vault: vault.VaultTerms | None = None
    aws: aws.AwsTerms | None = None


class _Places:
    """The managers of one instance folder, each made when the first reference asks for it."""

    def __init__(self, terms: SecretTerms, base: Path) -> None:
        self.live = terms.live
        self._terms, self._base = terms, base
        self._readers: dict[str, Callable[[str], Reading]] = {}

    def reader(self, scheme: str) -> Callable[[str], Reading]:
        if scheme not in self._readers:
            made = self._vault() if scheme == "vault" else self._aws()
            self._readers[scheme] = made
        return self._readers[scheme]

    def _vault(self) -> Callable[[str], Reading]:
        if self._terms.vault is None:
            raise _unknown_manager("vault", 'url = "https://HOST:8200"')
        return vault.Vault(self._terms.vault, self._base).read

    def _aws(self) -> Callable[[str], Reading]:
        if self._terms.aws is None:
            raise _unknown_manager("aws", 'region = "eu-central-1"')
        return aws.Aws(self._terms.aws).read


_places: dict[Path, _Places] = {}


def configure(base: Path, terms: SecretTerms) -> None:
    """Say what holds for the references under an instance folder; the last word counts."""
    _places[base] = _Places(terms, base)


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
        if scheme in local_secrets.SCHEMES:
            return local_secrets.read(scheme, place, base)
        return _places_of(base).reader(scheme)(place)

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
        terms = _places_of(base).live
        if every is not None:
            terms = replace(terms, refresh=every)
        if scheme not in local_secrets.SCHEMES:
            return PolledSecret(self.reference, partial(self.look, base), terms, monotonic)
        path = local_secrets.path_of(scheme, place, base)
        if path is None:
            return LiveSecret(self.reference, self.look(base), terms, monotonic)
        return FileSecret(self.reference, path, scheme, terms, monotonic, now)

    def _parts(self) -> tuple[str, str]:
        if not is_reference(self.reference):
            raise literal_refused()
        scheme, _, place = self.reference.partition(":")
        return scheme, place


def _places_of(base: Path) -> _Places:
    return _places.get(base) or _Places(SecretTerms(), base)


def _unknown_manager(name: str, example: str) -> ConfigError:
    return ConfigError(
        f"a {name}: reference is used and there is no table [secrets.{name}]",
        fix=f"add [secrets.{name}] with {example}",
    )


def literal_refused() -> ConfigError:
    """Return the refusal of a secret written out; it does not repeat what was written."""
    known = " or ".join(f"{scheme}:..." for scheme in _SCHEMES)
    return ConfigError(
        "a secret is named by reference, never written into a settings file", fix=f"write {known}"
    )


def is_reference(text: str) -> bool:
    """Tell whether a text names a place for a secret."""
    scheme, _, place = text.partition(":")
    return scheme in _SCHEMES and bool(place)


def is_local(text: str) -> bool:
    """Tell whether a text names a place on this machine."""
    return is_reference(text) and text.partition(":")[0] in local_secrets.SCHEMES
