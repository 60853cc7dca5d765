"""A thread of each worker that signs what has been unsigned for long, traffic or not.

Of all workers the first to look signs; the others see that it was done. So whoever cuts the log
finds at most the last moments of it uncovered.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from .chain import Chain
from .notary import Notary
from .told import WrongChain, WrongKey

log = logging.getLogger("secureml.audit_log")


class Watch:
    """Looks every ``interval`` seconds; ``now`` returns seconds since the epoch."""

    def __init__(
        self, chain: Chain, notary: Notary, interval: float, now: Callable[[], float]
    ) -> None:
        self._chain, self._notary, self._interval, self._now = chain, notary, interval, now
        self._ends = threading.Event()

    def begin(self) -> None:
        """Start the thread, in the process that serves."""
        threading.Thread(target=self._run, name="audit-watch", daemon=True).start()

    def end(self) -> None:
        """Let the thread end, and sign what it would have signed next."""
        self._ends.set()
        self.look(0.0)

    def look(self, patience: float) -> None:
        """Sign the last record where the last signature is as old as ``patience``, in seconds."""
        try:
            head = self._chain.head()
        except (OSError, WrongKey, WrongChain) as error:
            log.warning("no checkpoint (%s)", type(error).__name__)
            return
        last = self._notary.last()
        if last is not None and last.chain == head.chain:
            age = self._now() - datetime.fromisoformat(last.time).timestamp()
            # A clock that was set back must not keep us from signing.
            if last.seq >= head.seq or 0 <= age < patience:
                return
        self._notary.settle(head)

    def _run(self) -> None:
        while not self._ends.wait(self._interval):
            self.look(self._interval)
