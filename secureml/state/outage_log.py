"""Says that the store is away, and that it is back: once each, and not once a request.

To the program log, and as an event. Knows nothing of databases.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("secureml.store")

QUIET = 10.0  # seconds between two such lines: a store that comes and goes must not fill the disk


class OutageLog:
    """The state of one store in one process; ``monotonic`` returns seconds.

    Nothing is said before ``serving`` is set: a command says it itself. ``tell`` is called with
    whether the store went away, else is back, and why.
    """

    def __init__(self, resource: str, monotonic: Callable[[], float]) -> None:
        self._resource, self._monotonic = resource, monotonic
        self.tell: Callable[[bool, str], None] = lambda lost, why: None
        self.away = self.serving = False
        self._reported, self._due = False, float("-inf")
        self._lock = threading.Lock()

    def lost(self, why: str) -> None:
        """Note that it could not be asked, and say so where that is new."""
        if self.away:
            return
        with self._lock:
            first, self.away, now = not self.away, True, self._monotonic()
            if not (first and self.serving and now >= self._due):
                return
            self._reported, self._due = True, now + QUIET
        log.error(
            "%s: %s; requests that need it are refused with 503; fix: restore it, and "
            "restart the server if it is a different file",
            self._resource,
            why,
        )
        self._hand_on(why, lost=True)

    def found(self) -> None:
        """Note that it answers, and say so where it did not."""
        with self._lock:
            reported, self.away, self._reported = self._reported, False, False
        if reported:
            log.warning("%s: available again", self._resource)
            self._hand_on("available again", lost=False)

    def _hand_on(self, why: str, *, lost: bool) -> None:
        try:
            self.tell(lost, why)
        except Exception:
            log.exception("the outage of the store could not be recorded")
