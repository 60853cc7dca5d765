"""An issuer's keys as they are now, without asking the issuer at each token.

Between refreshes nothing is fetched for a token whose key is known. A key that is not known
causes one fetch at most in thirty seconds, so made-up key ids make no storm. While the issuer
cannot be reached its last good keys go on, up to a stated age; then nothing is believed.

A thread fetches the keys, so that a request never does: started on first need in each process
(Gunicorn forks), ended by ``close``. A request that must know of a new key waits for it a
bounded time and no longer, whatever the network does.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from secureml.kit.fetch import FetchFailed
from secureml.kit.jwks import HARMLESS, Keys
from secureml.kit.jwks_document import KeysRefused
from secureml.kit.jwt_claims import UnverifiedToken
from secureml.kit.public_key import TrustedKey

log = logging.getLogger("secureml.kit.jwks_cache")
_MOST_DOUBLINGS = 3
PATIENCE = 3.0  # seconds a request waits for keys
_LONGEST = 3600.0


class KeysUnavailable(Exception):
    """There are no keys young enough to judge a token by."""


class Timing(NamedTuple):
    """Seconds: between refreshes, until last good keys end, between fetches for unknown keys."""

    refresh: float = 300.0
    max_age: float = 86400.0
    again: float = 30.0


class JwksCache:
    """The keys of one issuer; ``load`` fetches them, ``ask`` has it done (at once, or elsewhere).

    The same ``Keys`` object is handed out for as long as the same keys are believed.
    """

    def __init__(
        self, name: str, load: Callable[[], Keys], now: Callable[[], float], timing: Timing
    ) -> None:
        self.name, self._load, self._now, self._timing = name, load, now, timing
        self.request_refresh: Callable[[], None] = self.refresh
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

    def trusts(self, keys: Keys) -> bool:
        """Tell whether what was proven with these keys is still proven."""
        return keys is self._keys and self._since(self._good) <= self._timing.max_age

    def key_for(
        self, token: UnverifiedToken, check: Callable[[], None]
    ) -> tuple[Keys, TrustedKey | None]:
        """Return the keys and the one that a token means, None if there is none now.

        ``check`` raises for a token that could not be good whoever signed it: such a one is not
        worth a fetch. Raises KeysUnavailable.
        """
        try:
            keys = self.current()
            key = keys.pick(token.kid, token.algorithm)
        except KeysUnavailable:
            key = None
        if key is None:
            check()
            keys = self.refreshed()
            key = keys.pick(token.kid, token.algorithm)
        return keys, key

    def refreshed(self) -> Keys:
        """Return the keys after one attempt to learn of new ones, where one is allowed now."""
        with self._lock:
            allowed = self._since(self._asked) >= self._pause()
            if allowed:
                self._asked, self._busy = self._now(), True
            busy = self._busy
        if busy:
            # Whoever comes while it is under way waits for the same fetch.
            self.request_refresh()
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
            log.warning("the keys of issuer %s cannot be read: %s", self.name, fault)
            return
        finally:
            self._busy = False
        with self._lock:
            self._good, self._failures = self._now(), 0
            if keys == self._keys:
                return
            self._keys = keys
        self._log(keys)

    def _log(self, keys: Keys) -> None:
        log.info("issuer %s: %d keys are trusted", self.name, len(keys.trusted))
        for decision in keys.decisions:
            if decision.rule and decision.rule not in HARMLESS:
                log.warning("issuer %s: key %r is dropped: %s", self.name, *decision[::3])

    def _pause(self) -> float:
        # A provider in trouble is asked less and less, and holds up fewer callers.
        return float(self._timing.again * 2 ** min(self._failures, _MOST_DOUBLINGS))

    def _since(self, moment: float) -> float:
        # A clock set back must neither stop refreshes nor keep old keys for ever.
        return abs(self._now() - moment)


class JwksRefresher:
    """Keeps one source fresh in this process."""

    def __init__(self, jwks: JwksCache) -> None:
        self.jwks = jwks
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def start(self) -> None:
        """Have the keys fetched from now on; costs nothing when they are."""
        self._running()

    def request_refresh(self) -> None:
        """Have the keys fetched now, and wait for the end of that a bounded time."""
        self._running().request_refresh()

    def close(self) -> None:
        """End the thread; a fetch under way is left to its own deadline."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None and worker.pid == os.getpid():
            worker.end()

    def _running(self) -> _Worker:
        worker = self._worker
        if worker is not None and worker.pid == os.getpid():
            return worker
        with self._lock:
            if self._worker is None or self._worker.pid != os.getpid():
                self._worker = _Worker(self.jwks)
            return self._worker


class _Worker:
    """One process's thread and how to speak to it."""

    def __init__(self, jwks: JwksCache) -> None:
        self.pid = os.getpid()
        self._source = jwks
        self._condition = threading.Condition()
        self._rounds = 0
        self._wanted = self._fetching = self._ended = False
        self.thread = threading.Thread(target=self._run, name=f"keys-of-{jwks.name}", daemon=True)
        self.thread.start()

    def request_refresh(self) -> None:
        with self._condition:
            before = self._rounds
            if not self._fetching:
                self._wanted = True
                self._condition.notify_all()
            self._condition.wait_for(lambda: self._rounds > before or self._ended, PATIENCE)

    def end(self) -> None:
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def _run(self) -> None:
        while self._until_due():
            self._refresh()
            with self._condition:
                self._rounds += 1
                self._fetching = False
                self._condition.notify_all()

    def _until_due(self) -> bool:
        """Wait for a refresh to be due or asked for; False when it is over."""
        with self._condition:
            while not self._ended and not self._wanted and (left := self._source.wait()) > 0:
                self._condition.wait(min(left, _LONGEST))
            self._wanted, self._fetching = False, not self._ended
            return self._fetching

    def _refresh(self) -> None:
        try:
            self._source.refresh()
        except Exception:  # a fault of ours must not end the refreshes for good
            log.exception("refreshing the keys of %s failed", self._source.name)
