"""Who sent a request: the holder of the key a token is bound to, or any bearer.

A proof counts once, in whichever worker it comes back (RFC 9449, 11.1). It is remembered only
once its holder is known: nothing is kept for unknown callers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple, Protocol

from secureml.kit import bearer, dpop
from secureml.kit.jwt_claims import InvalidToken

SCHEMES = ("bearer", "dpop")  # of tokens that may be bound to a key


def invalid_token_challenge(scheme: str) -> str:
    """Return the WWW-Authenticate value for a token that does not hold (RFC 6750, 3.1)."""
    challenge = dpop.CHALLENGE if scheme == "dpop" else bearer.CHALLENGE
    return f'{challenge}, error="invalid_token"'


class _Replays(Protocol):
    def first(self, digest: str, ends: float, holder: str) -> bool: ...


class HttpRequest(NamedTuple):
    """A request as a proof covers it; ``proof`` is its DPoP header, "" without one."""

    method: str
    path: str
    proof: str

    @classmethod
    def of(cls, request: Any) -> HttpRequest:
        """Return a request of Flask as a proof covers it."""
        return cls(request.method, request.path, request.environ.get("HTTP_DPOP", ""))


class SenderConstraint:
    """Checks proofs for the addresses that are ours."""

    def __init__(
        self, origins: Collection[str], replays: _Replays, now: Callable[[], float]
    ) -> None:
        self.origins = frozenset(origins)
        self._replays, self._now = replays, now

    def check(
        self, sent: HttpRequest, scheme: str, token: str, jkt: str | None, holder: str
    ) -> None:
        """Demand a proof for a token bound to a key: without, it would be a bearer's again.

        ``holder`` is the client of the token, which has been proven.
        """
        if jkt is None:
            if scheme == "dpop":
                raise InvalidToken("not_bound")
            return
        if scheme != "dpop":
            raise InvalidToken("bound_token_as_bearer")
        self.spend(self._check_proof(sent, token, jkt), holder)

    def key(self, sent: HttpRequest) -> dpop.Proof:
        """Return what a request for tokens proves (RFC 9449, 5); raises Unfit.

        Anybody can make such a proof: `spend` it once it is known who asks.
        """
        return self._check_proof(sent, None, None)

    def spend(self, proof: dpop.Proof, holder: str) -> None:
        """Use a proof up; raises Unfit where it was used before."""
        if not self._replays.first(proof.digest, proof.ends, holder):
            raise InvalidToken("dpop_replayed")

    def _check_proof(self, sent: HttpRequest, token: str | None, jkt: str | None) -> dpop.Proof:
        expected = dpop.Expected(sent.method, sent.path, self.origins, token, jkt)
        return dpop.check_proof(sent.proof, expected, self._now())
