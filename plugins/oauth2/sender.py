"""Who sent a request: the holder of the key a token is bound to, or whoever shows a bearer's.

A proof counts once, in whichever worker it comes back (RFC 9449, 11.1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from . import dpop
from .claims import Unfit


class _Replays(Protocol):
    def first(self, digest: str, ends: float) -> bool: ...


class Sent(NamedTuple):
    """A request as a proof covers it; ``proof`` is its DPoP header, "" without one."""

    method: str
    path: str
    proof: str


class Sender:
    """Checks proofs for the addresses that are ours."""

    def __init__(
        self, origins: Collection[str], replays: _Replays, now: Callable[[], float]
    ) -> None:
        self.origins = frozenset(origins)
        self._replays, self._now = replays, now

    def check(self, sent: Sent, scheme: str, token: str, bound: str | None) -> None:
        """Demand a proof for a token bound to a key: without, it would be a bearer's again."""
        if bound is None:
            if scheme == "dpop":
                raise Unfit("not_bound")
            return
        if scheme != "dpop":
            raise Unfit("bound_token_as_bearer")
        self._proven(sent, token, bound)

    def key(self, sent: Sent) -> str:
        """Return the key that a request for tokens proves (RFC 9449, 5); raises Unfit."""
        return self._proven(sent, None, None)

    def _proven(self, sent: Sent, token: str | None, bound: str | None) -> str:
        asked = dpop.Asked(sent.method, sent.path, self.origins, token, bound)
        proof = dpop.check_proof(sent.proof, asked, self._now())
        if not self._replays.first(proof.digest, proof.ends):
            raise Unfit("dpop_replayed")
        return proof.thumbprint
