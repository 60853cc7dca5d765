"""An issuer's keys as they are now, without asking the issuer at each token.

Between refreshes nothing is fetched for a token whose key is known. A key that is not known
causes one fetch at most in thirty seconds, so made-up key ids make no storm. While the issuer
cannot be reached its last good keys go on, up to a stated age; then nothing is believed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

from .discovery import KeysRefused
from .fetch import FetchFailed
from .keys import HARMLESS, Keys

log = logging.getLogger("secureml.plugins.oauth2")
_MOST_DOUBLINGS = 3


class KeysUnavailable(Exception):
    """There are no keys young enough to judge a token by."""


class Timing(NamedTuple):
    """Seconds: between refreshes, until last good keys end, between fetches for unknown keys."""

    refresh: float = 300.0
    max_age: float = 86400.0
    again: float = 30.0


class KeySource:
    """The keys of one issuer; ``load`` fetches them, ``ask`` has it done (at once, or elsewhere).

    The same ``Keys`` object is handed out for as long as the same keys are believed.
    """

    def __init__(
        self, name: str, load: Callable[[], Keys], now: Callable[[], float], timing: Timing
    ) -> None:
        self.name, self._load, self._now, self._timing = name, load, now, timing
        self.ask: Callable[[], None] = self.refresh
        self._lock = threading.Lock()
        self._keys: Keys | None = None
        self._good = self._tried = self._asked = float("-inf")
        self._failures = 0
        self._busy = False

    @property
    def reached(self) -> bool:
        """Tell whether there ever were keys."""
        return self._keys is not None

    def current(self) -> Keys:
        """Return the keys without fetching anything; raises KeysUnavailable."""
        if self._keys is None or self._since(self._good) > self._timing.max_age:
            raise KeysUnavailable(self.name)
        return self._keys

    def believes(self, keys: Keys) -> bool:
        """Tell whether what was proven with these keys is still proven."""
        return keys is self._keys and self._since(self._good) <= self._timing.max_age

    def renewed(self) -> Keys:
        """Return the keys after one attempt to learn of new ones, where one is allowed now."""
        with self._lock:
            allowed = self._since(self._asked) >= self._pause()
            if allowed:
                self._asked, self._busy = self._now(), True
            busy = self._busy
        if busy:
            # Whoever comes while it is under way waits for the same fetch.
            self.ask()
        return self.current()

    def wait(self) -> float:
        """Return the seconds until a refresh is due; zero or less when it is."""
        pause = min(self._pause(), self._timing.refresh) if self._failures else None
        return (pause or self._timing.refresh) - self._since(self._tried)

    def refresh(self) -> None:
        """Fetch once; what was good before stays when that fails."""
        self._tried, self._busy = self._now(), True
        try:
            keys = self._load()
        except (FetchFailed, KeysRefused) as fault:
            self._failures += 1
            log.warning("the keys of issuer %s cannot be had: %s", self.name, fault)
            return
        finally:
            self._busy = False
        with self._lock:
            self._good, self._failures = self._now(), 0
            if keys == self._keys:
                return
            self._keys = keys
        self._tell(keys)

    def _tell(self, keys: Keys) -> None:
        log.info("issuer %s: %d keys are trusted", self.name, len(keys.trusted))
        for verdict in keys.verdicts:
            if verdict.rule and verdict.rule not in HARMLESS:
                log.warning("issuer %s: key %r is dropped: %s", self.name, *verdict[::3])

    def _pause(self) -> float:
        # A provider in trouble is asked less and less, and holds up fewer callers.
        return float(self._timing.again * 2 ** min(self._failures, _MOST_DOUBLINGS))

    def _since(self, moment: float) -> float:
        # A clock set back must neither stop refreshes nor keep old keys for ever.
        return abs(self._now() - moment)
