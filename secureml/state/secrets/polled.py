"""A secret at a secrets manager, followed from a thread, so that no request waits for it."""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from math import inf

from secureml.config_error import ConfigError
from secureml.state.secrets.live import LiveSecret, RefreshPolicy
from secureml.state.secrets.value import Reading

# Not the process's own generator: a thread that draws from it would disturb code that seeded it.
_chance = random.SystemRandom().random
WAKE = 5.0  # least seconds between two questions that a wrong offer may cause


class PolledSecret(LiveSecret):
    """Follows a secrets manager from a thread of its own, started by the first use in a process."""

    def __init__(
        self,
        name: str,
        read: Callable[[], Reading],
        options: RefreshPolicy,
        monotonic: Callable[[], float],
        chance: Callable[[], float] = _chance,
    ) -> None:
        self._read, self._chance = read, chance
        self._read_at = monotonic()
        super().__init__(name, read(), options, monotonic)
        self._state = replace(self._state, good_until=self._read_at + options.max_age)
        self._closed = False
        self._forget_thread()
        _polled.add(self)

    def _forget_thread(self) -> None:
        """Start anew: a fork copies neither threads nor who holds a lock."""
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._due = -inf

    def _refresh(self, now: float) -> None:
        with self._lock:
            if self._thread is not None or self._closed:
                return
            if now - self._read_at > self._options.refresh:
                # A worker without work since the start: it would use yesterday's value.
                self._turn()
            self._thread = threading.Thread(target=self._follow, name=self._name, daemon=True)
            self._due = inf
            self._thread.start()

    def _follow(self) -> None:
        while not self._closed:
            self._wake.wait(self._pause())
            self._wake.clear()
            if not self._closed:
                self._turn()

    def _pause(self) -> float:
        # Workers that were started together must not ask together.
        return self._options.refresh * (0.8 + 0.4 * self._chance())

    def _turn(self) -> None:
        self._read_at = self._monotonic()
        try:
            self._adopt(self._read().secret, self._read_at)
        except Exception as error:  # noqa: BLE001 - the thread outlives every fault of a library
            # A library's own words may quote what it was sent; ours do not.
            self._failed(error if isinstance(error, ConfigError) else type(error).__name__)

    def _look_for(self, offered: bytes) -> bool:
        # Refused now, but sooner right: the other side may have heard of a rotation before us.
        if self._monotonic() - self._read_at >= WAKE:
            self._wake.set()
        return False

    def close(self) -> None:
        """End the thread; the value stays until it is too old."""
        self._closed, self._due = True, inf
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=1)


_polled: weakref.WeakSet[PolledSecret] = weakref.WeakSet()


def _after_fork() -> None:
    for secret in _polled:
        secret._forget_thread()  # noqa: SLF001 - this file's own class


os.register_at_fork(after_in_child=_after_fork)
