"""The models that answer: what is loaded under each name, and which version a client is given.

Versions are proved before they answer, at the start and whenever a pointer or a deployment
changes: what cannot be proved is kept out, and what served before serves on. A request takes one
handle and keeps it, so that no answer is of two versions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card_section import Sections
from secureml.models.serving.model_folder import Identity, ModelFolder, Stamp
from secureml.models.serving.retirement import headers_of
from secureml.models.serving.served_model import Candidate, ServedModel
from secureml.state.deployments import NOTHING, Deployment

if TYPE_CHECKING:
    from secureml.models.serving.handle import ModelHandle
    from secureml.models.serving.verification import Verifier

log = logging.getLogger("secureml")
_NO_STAMP: Stamp = (0, 0)


class Change(NamedTuple):
    """Another version answers under a name; ``before`` is "" where none did."""

    name: str
    version: str
    before: str


class Registry(ModelFolder):
    """Sealed models under one folder; the verifiers check an artifact before it is read."""

    def __init__(
        self,
        root: Path,
        verifiers: Sequence[Verifier] = (),
        extra_allowed: frozenset[str] = frozenset(),
        sections: Sections = MappingProxyType({}),
    ) -> None:
        super().__init__(root)
        # Kept, not copied: the plugins that check models are built after the registry.
        self.verifiers, self.extra_allowed, self.sections = verifiers, extra_allowed, sections
        self._serving: Mapping[str, ServedModel] = {}
        self._refused: dict[str, ModelRefused] = {}
        # What was refused, and the times of its folder then: it is not tried again until that
        # changes.
        self._tried: dict[tuple[str, str], tuple[Stamp, ModelRefused]] = {}
        # The folder that each was read from: its number may be given again after an undone sealing.
        self._folders: WeakKeyDictionary[ModelHandle, Identity | None] = WeakKeyDictionary()
        self._seconds: dict[str, float] = {}

    # -- what is loaded ----------------------------------------------------------------------

    def load_all(self, deployments: Mapping[str, Deployment] = MappingProxyType({})) -> None:
        """Prove and load every name, anew.

        One that is refused is kept out and told of by `refused`; the others answer. Where none is
        left of those that there are, raises ModelRefused, and what served before still serves.
        """
        serving, refused, self._tried = self._serving, self._refused, {}
        self._serving, self._refused = {}, {}
        self.refresh(deployments)
        if self._refused and not self._serving:
            error = next(iter(self._refused.values()))
            self._serving, self._refused = serving, refused
            raise error

    def refresh(self, deployments: Mapping[str, Deployment]) -> list[Change]:
        """Serve what the pointers and deployments ask for now; return what answers instead.

        A version is loaded once, and one that cannot be proved leaves the one before it in use.
        """
        stamps = self._stamps()
        found: dict[str, ServedModel] = {}
        refused: dict[str, ModelRefused] = {}
        for name in self.names_on_disk():
            self._drop_tried(name, stamps.get(name, _NO_STAMP))
            served = self._served(name, deployments.get(name, NOTHING), refused)
            if served is not None:
                found[name] = served
        before = self._serving
        self._serving, self._refused = found, refused
        return _changes(before, found)

    def _stamps(self) -> dict[str, Stamp]:
        try:
            return self.stamps()
        except OSError:
            return {}  # of a folder that is not there yet

    def _drop_tried(self, name: str, stamp: Stamp) -> None:
        for key, (then, _) in list(self._tried.items()):
            if key[0] == name and then != stamp:
                del self._tried[key]

    def _served(
        self, name: str, deployment: Deployment, refused: dict[str, ModelRefused]
    ) -> ServedModel | None:
        before = self._serving.get(name)
        loaded = self._unchanged(name, before)
        begin = time.perf_counter()
        try:
            version = self.chosen(name)
            current = loaded.get(version) or self._prove_once(name, version)
        except ModelRefused as error:
            refused[name] = error
            if before is None:
                self._seconds[name] = time.perf_counter() - begin
                return None
            current = before.current  # it serves on
        if current.version not in loaded:
            self._seconds[name] = time.perf_counter() - begin
        pinned = {current.version: current}
        for version in self._others(name, deployment):
            handle = loaded.get(version) or self._beside(name, version)
            if handle is not None:
                pinned[version] = handle
        candidate = self._candidate(name, deployment, {**loaded, **pinned}, current)
        if candidate is not None and candidate.canary:
            pinned[candidate.handle.version] = candidate.handle
        return ServedModel(current, pinned, candidate, headers_of(deployment.retirements))

    def _unchanged(self, name: str, before: ServedModel | None) -> dict[str, ModelHandle]:
        """Return what is loaded of a name and still lies there as it was read."""
        if before is None:
            return {}
        return {
            version: handle
            for version, handle in before.handles().items()
            if self._folders.get(handle) == self.identity(name, version)
        }

    def _others(self, name: str, deployment: Deployment) -> list[str]:
        """Return the versions that are to be loaded beside the one in use."""
        try:
            before = self._pointer(name, "previous")
        except ModelRefused:
            before = None
        return sorted({*deployment.loaded, *([before] if before else [])})

    def _candidate(
        self,
        name: str,
        deployment: Deployment,
        loaded: Mapping[str, ModelHandle],
        current: ModelHandle,
    ) -> Candidate | None:
        trial = deployment.trial
        if trial is None or not trial.runs or trial.version == current.version:
            return None
        handle = loaded.get(trial.version) or self._beside(name, trial.version)
        if handle is None:
            return None
        return Candidate(handle, trial.canary, trial.share, trial.run)

    def _beside(self, name: str, version: str) -> ModelHandle | None:
        """Return a version that is not the one in use; None where it cannot be proved."""
        known = (name, version) in self._tried
        try:
            return self._prove_once(name, version)
        except ModelRefused as error:
            if not known:
                log.warning("not loaded: %s", error)
            return None

    def _prove_once(self, name: str, version: str) -> ModelHandle:
        """Prove a version, unless the same files were refused before."""
        known = self._tried.get((name, version))
        if known is not None:
            raise known[1]
        stamp, identity = self._stamps().get(name, _NO_STAMP), self.identity(name, version)
        try:
            handle = self.prove(name, version)
        except ModelRefused as error:
            self._tried[name, version] = stamp, error
            raise
        self._folders[handle] = identity
        return handle

    def prove(self, name: str, version: str) -> ModelHandle:
        """Take one version through every check; raises ModelRefused."""
        # Here, because it imports scikit-learn: commands that load no model start without it.
        from secureml.models.serving.verification import prove

        artifact = self.artifact(name, version)
        return prove(artifact, self.verifiers, self.extra_allowed, self.sections)

    # -- what answers ------------------------------------------------------------------------

    def get(self, name: str, version: str = "") -> ModelHandle | None:
        """Return the version in use of a name, or another that clients may ask for by number."""
        served = self._serving.get(name)
        if served is None:
            return None
        return served.version(version) if version else served.current

    def choose(self, name: str, version: str, client: Callable[[], str]) -> ModelHandle | None:
        """Return what answers a request: of a version it names, or what this client is given."""
        served = self._serving.get(name)
        if served is None:
            return None
        if version:
            return served.version(version)
        return served.current if served.candidate is None else served.answering(client())

    def served(self, name: str) -> ServedModel | None:
        """Return everything that is loaded under a name."""
        return self._serving.get(name)

    def refused(self) -> dict[str, ModelRefused]:
        """Return why the version in use of each model that was refused does not answer, by name."""
        return dict(self._refused)

    def is_refused(self, name: str) -> bool:
        """Tell whether a model of that name is here and was refused."""
        return name in self._refused

    def load_seconds(self, name: str) -> float:
        """Return how long it took to prove and load the model that answers to a name."""
        return self._seconds[name]

    def names(self) -> list[str]:
        """Return the names that answer."""
        return sorted(self._serving)

    # -- which version is in use -------------------------------------------------------------

    def use(self, name: str, version: str) -> None:
        """Point to a version, once it has passed every check; raises ModelRefused."""
        self.prove(name, version)
        # A pointer that cannot be read is what `use` is there to mend.
        self.point(name, version, self.pointed(name))

    def rollback(self, name: str) -> str:
        """Point to the version that served before and return it; twice is where we were."""
        before = self.previous(name)
        self.use(name, before)
        return before


def _changes(before: Mapping[str, ServedModel], after: Mapping[str, ServedModel]) -> list[Change]:
    return [
        Change(name, served.current.version, before[name].current.version if name in before else "")
        for name, served in after.items()
        if name not in before or before[name].current is not served.current
    ]
