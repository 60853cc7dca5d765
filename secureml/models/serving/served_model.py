"""What answers under one name: the version in use, those that clients may pin, and a candidate.

A snapshot that never changes: a request that holds one sees one state, and another state is another
snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from secureml.models.serving.handle import ModelHandle


class Candidate(NamedTuple):
    """A version that is tried beside the one in use.

    A ``canary`` answers a share of the clients; without it, it answers nobody: it is asked the
    questions of a share of the requests, and its answers are compared. ``run`` names this trial
    among all.
    """

    handle: ModelHandle
    canary: bool
    share: float
    run: str


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One name and all that is loaded for it; ``pinned`` holds the versions clients may name.

    ``headers`` are sent with the answers of a version that is to be retired.
    """

    current: ModelHandle
    pinned: Mapping[str, ModelHandle]
    candidate: Candidate | None = None
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))

    def version(self, version: str) -> ModelHandle | None:
        """Return a version that a client names, None where it may not be named."""
        return self.pinned.get(version)

    def answering(self, client: str) -> ModelHandle:
        """Return what answers a client that names no version, always the same within a trial."""
        candidate = self.candidate
        if candidate is None or not candidate.canary or not candidate.share:
            return self.current
        return candidate.handle if _place(candidate, client) < candidate.share else self.current

    def handles(self) -> dict[str, ModelHandle]:
        """Return everything that is loaded, by version."""
        found = dict(self.pinned)
        if self.candidate is not None:
            found.setdefault(self.candidate.handle.version, self.candidate.handle)
        return found


def _place(candidate: Candidate, client: str) -> float:
    """Return where a client stands among all, from 0 to below 1: by chance, and always there.

    The run is part of it, so that it is not always the same clients who try what is new; a share
    that is raised keeps those it had.
    """
    digest = sha256(f"{candidate.run}|{client}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56
