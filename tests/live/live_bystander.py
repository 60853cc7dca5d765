"""A normal client beside an attack: it must be served, and how fast is written down."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from live_servers import Edge

# Seconds after which anybody would call it down; no measure of speed, for the machine may be busy.
_DOWN = 30.0


class Bystander:
    """Asks all the while, on a connection of its own each time."""

    def __init__(self, edge: Edge) -> None:
        self.seconds: list[float] = []
        self.statuses: set[int] = set()
        self._edge, self._over = edge, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._over.is_set():
            begin = time.monotonic()
            try:
                self.statuses.add(self._edge.ask("GET", "/bystander", patience=_DOWN).status)
            except OSError:
                self.statuses.add(0)
            self.seconds.append(time.monotonic() - begin)

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def was_served(self, beside: str) -> None:
        """Hold the server to it that every request was answered; say how long the slowest took."""
        ordered = sorted(self.seconds)
        median, worst = ordered[len(ordered) // 2], ordered[-1]
        print(
            f"{beside}: {len(ordered)} normal answers, median {median * 1000:.1f} ms, "
            f"slowest {worst * 1000:.0f} ms"
        )
        assert self.statuses == {200}  # 0 where one took longer than _DOWN
