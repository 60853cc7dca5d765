"""A secret that follows its source: what it is now, without a restart and without a wait.

The last good value serves while the source is away, for as long as the operator said and
not a moment longer. For a while after a change the previous value still matches, so that
two sides need not change in the same instant.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from secureml.state.secrets.value import Reading, Secret, SecretUnavailable

log = logging.getLogger("secureml.secrets")


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """What the operator allows, in seconds: between readings, for the old value, without news."""

    refresh: float = 60.0
    overlap: float = 600.0
    max_age: float = 86400.0


@dataclass(frozen=True, slots=True)
class _State:
    secret: Secret
    previous: Secret | None
    overlap_ends: float
    good_until: float


class LiveSecret:
    """One secret in use. This class alone never looks again: for what cannot change (``env:``)."""

    def __init__(
        self, name: str, first: Reading, options: RefreshPolicy, monotonic: Callable[[], float]
    ) -> None:
        self._name, self._options, self._monotonic = name, options, monotonic
        self._state = _State(first.secret, None, -inf, inf)
        self._lock = threading.Lock()
        self._due = inf
        self._failing = False

    def current(self) -> Secret:
        """Return the secret as it is now. Raises SecretUnavailable."""
        now = self._monotonic()
        if now >= self._due:
            self._refresh(now)
        state = self._state
        if now > state.good_until:
            raise SecretUnavailable(f"{self._name} has been unreadable for too long")
        return state.secret

    def matches_any(self, offered: bytes) -> bool:
        """Tell whether it is the secret, or was until a moment ago. Raises SecretUnavailable."""
        secret, state = self.current(), self._state
        matched = secret.matches(offered)
        if state.previous is not None and self._monotonic() < state.overlap_ends:
            matched |= state.previous.matches(offered)
        return matched or self._look_for(offered)

    def close(self) -> None:
        """Follow the source no longer."""

    def _refresh(self, now: float) -> None:
        """Bring the value up to date; subclasses that can change say how."""

    def _look_for(self, offered: bytes) -> bool:
        """Tell whether the source has become what was offered since we last looked."""
        return False

    def _adopt(self, secret: Secret, read_at: float) -> None:
        state = self._state
        good_until = read_at + self._options.max_age
        self._failing = False
        if secret == state.secret:
            self._state = replace(state, good_until=good_until)
            return
        log.info("the secret %s has changed", self._name)
        ends = self._monotonic() + self._options.overlap
        self._state = _State(secret, state.secret, ends, good_until)

    def _failed(self, why: object) -> None:
        if not self._failing:  # once for each outage: a log that repeats itself is not read
            self._failing = True
            log.warning(
                "the secret %s cannot be read, its last value stays in use: %s", self._name, why
            )
