"""Those who do not wait when they are told to: after so many refusals in a minute, a ban.

Refusals are counted like requests, over all workers. A store that cannot be asked bans nobody
and lifts no ban that is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from .bans import Ban
from .counting import Bound, Counting
from .rules import Claim, Rule

log = logging.getLogger("secureml.rate_limit")


class _Bans(Protocol):
    def current(self) -> Mapping[str, float]: ...
    def known(self) -> Mapping[str, float]: ...
    def add(self, subject: str, reason: str) -> Ban | None: ...


class Backoff:
    """Keeps out who is banned, and bans who goes on; ``rule`` None never bans."""

    def __init__(
        self,
        bans: _Bans,
        counting: Counting,
        rule: Rule | None,
        now: Callable[[], float],
        away: type[Exception],
    ) -> None:
        self._bans, self._counting, self._rule = bans, counting, rule
        self._now, self._away = now, away

    def left(self, subject: str) -> float:
        """Return how many seconds someone is still kept out; 0.0 for who is not."""
        try:
            ends = self._bans.current().get(subject)
        except self._away:
            ends = self._bans.known().get(subject)
        return max(0.0, ends - self._now()) if ends is not None else 0.0

    def refused(self, subject: str, rule: Rule) -> Ban | None:
        """Count a refusal; return the ban that it brought, if it did."""
        bound = self.bound(subject)
        if bound is None:
            return None
        outcome = self._counting.reserve(bound, 1)
        if outcome is None or outcome.allowed:
            return None
        try:
            return self._bans.add(subject, rule.name)
        except self._away as error:
            log.warning("%s could not be banned: %s", subject, error)
            return None

    def bound(self, subject: str) -> Bound | None:
        """Return what counts the refusals of someone; None for everyone, who are nobody."""
        if self._rule is None or not subject:
            return None
        return self._counting.bind(Claim(self._rule, subject, f"refusals|{subject}"))
