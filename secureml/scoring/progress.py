"""How far a run is, on standard error: a line that is written over on a terminal, else lines."""

from __future__ import annotations

from collections.abc import Callable

_LINES_EVERY = 10.0  # seconds, where no line can be written over
_OVER_EVERY = 0.2


class Progress:
    """Tells of rows, rows a second and the time that is left.

    ``now`` returns seconds, ``write`` takes a text and whether it ends a line. ``before`` are rows
    that an earlier run has finished.
    """

    def __init__(
        self,
        total: int,
        before: int,
        now: Callable[[], float],
        write: Callable[[str, bool], None],
        *,
        terminal: bool,
    ) -> None:
        self._total, self._before, self._now, self._write = total, before, now, write
        self._every = _OVER_EVERY if terminal else _LINES_EVERY
        self._terminal, self._done = terminal, before
        self._begin = self._told = now()

    def add(self, rows: int) -> None:
        """Count rows that are finished, and tell of them now and then."""
        self._done += rows
        if self._now() - self._told >= self._every:
            self._tell(over=self._terminal)

    def end(self) -> None:
        """Tell where the run stands as it ends."""
        self._tell(over=False)

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return self._now() - self._begin

    @property
    def rate(self) -> float:
        """Rows a second of this run."""
        return (self._done - self._before) / max(self.seconds, 1e-9)

    def _tell(self, *, over: bool) -> None:
        self._told = self._now()
        done = min(self._done, self._total)
        share = 100 * done // max(self._total, 1)
        left = (self._total - done) / self.rate if self.rate else 0
        text = (
            f"{done} of {self._total} rows ({share} %), {self.rate:.0f} rows/s, {_clock(left)} left"
        )
        self._write(f"\r{text}\x1b[K" if self._terminal else text, not over)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
