"""A storage for `limits` in one SQLite file, exact for every process and thread of a host.

Registered as ``sqlite+counters:///path/to/counters.db``; any user of `limits` or Flask-Limiter
may import this module and name that URI. Each hit is one transaction, so of any burst exactly
as many pass as the limit says: fixed window, moving window and sliding window counter alike.
A killed process changes nothing. Expired rows are removed in the background, and the file never
grows beyond ``size``. It needs SQLite 3.35 (2021).

Beside the methods that `limits` asks for there are three that return the state of the window
from the same transaction: ``hit_fixed_window``, ``hit_moving_window``, ``hit_sliding_window``.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from limits.storage import Storage
from limits.storage.base import MovingWindowSupport, SlidingWindowCounterSupport

from .sqlite_connection import SQLiteConnection
from .sqlite_sweeper import Sweeper

SCHEME = "sqlite+counters"
_FIXED = "SELECT current, expires FROM windows WHERE key = ?"
_SLIDING = "SELECT number, previous, current FROM windows WHERE key = ?"
# Each hit that is allowed is one statement: it finds, decides and writes under the file's lock,
# with nothing between that another process could see. It returns no row where it refuses.
# ?1 key, ?2 now, ?3 length, ?4 amount, ?5 limit, ?6 how far clocks of processes may be apart
_HIT_FIXED = """
INSERT INTO windows VALUES (?1, 0, 0, ?4, ?2 + ?3)
ON CONFLICT (key) DO UPDATE SET
    current = iif(expires > ?2 AND expires <= ?2 + ?3 + ?6, current, 0) + ?4,
    expires = iif(expires > ?2 AND expires <= ?2 + ?3 + ?6, expires, ?2 + ?3)
WHERE iif(expires > ?2 AND expires <= ?2 + ?3 + ?6, current, 0) + ?4 <= ?5
RETURNING current, expires
"""
# ?1 key, ?2 number of the window, ?3 length, ?4 amount, ?5 limit, ?6 seconds the window has left
_HIT_SLIDING = """
INSERT INTO windows VALUES (?1, ?2, 0, ?4, (?2 + 2) * ?3)
ON CONFLICT (key) DO UPDATE SET
    number = iif(number = ?2 + 1, number, ?2),
    previous = CASE number WHEN ?2 THEN previous WHEN ?2 + 1 THEN previous
                           WHEN ?2 - 1 THEN current ELSE 0 END,
    current = iif(number IN (?2, ?2 + 1), current, 0) + ?4,
    expires = iif(number = ?2 + 1, expires, (?2 + 2) * ?3)
WHERE ?4 <= ?5 - CASE number
    WHEN ?2 THEN CAST(previous * ?6 / ?3 AS INTEGER) + current
    WHEN ?2 + 1 THEN previous + current
    WHEN ?2 - 1 THEN CAST(current * ?6 / ?3 AS INTEGER)
    ELSE 0 END
RETURNING number, previous, current
"""
_NO_LIMIT = 2**62  # a limit that nothing reaches
_CLOCK_SKEW = 10.0  # seconds; a window that ends later than this allows was made by a wrong clock
_LATEST = "SELECT at, total FROM entries WHERE key = ? ORDER BY at DESC, total DESC LIMIT 1"
_OLDEST = (
    "SELECT at, total - amount FROM entries WHERE key = ? AND at >= ? ORDER BY at, total LIMIT 1"
)
_EXPIRES_NEXT = (
    "SELECT at FROM entries WHERE key = ? AND at >= ? AND total >= ? ORDER BY at, total LIMIT 1"
)


class FixedState(NamedTuple):
    """What a fixed window holds; ``ends`` in epoch seconds."""

    used: int
    ends: float
    allowed: bool


class MovingState(NamedTuple):
    """What a moving window holds; what was asked for fits after ``fits_after``, epoch seconds."""

    allowed: bool
    used: int
    fits_after: float


class SlidingState(NamedTuple):
    """What two windows hold, and seconds until each is forgotten, as `limits` counts them."""

    allowed: bool
    previous: int
    previous_ttl: float
    current: int
    current_ttl: float


class SQLiteStorage(Storage, MovingWindowSupport, SlidingWindowCounterSupport):
    """Counters in one file.

    ``clock`` gives epoch seconds; ``timeout`` is how many seconds a hit may wait for others,
    ``sweep_interval`` seconds between removals of expired rows, ``size`` the bytes of the file,
    ``capacity`` the keys beyond which the first to expire are removed, 0 for no bound.
    ``shared`` is another storage of the same file in this process, whose connection is used.
    """

    STORAGE_SCHEME = [SCHEME]

    def __init__(
        self,
        uri: str,
        wrap_exceptions: bool = False,
        *,
        clock: Callable[[], float] = time.time,
        timeout: float = 0.25,
        size: int = 64 * 1024 * 1024,
        capacity: int = 100_000,
        sweep_interval: float = 10.0,
        shared: SQLiteStorage | None = None,
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        parts = urlsplit(uri)
        self.path = Path(unquote(parts.netloc + parts.path))
        self.clock = clock
        if shared is None:
            self.connection = SQLiteConnection(self.path, timeout=timeout, size=size)
            self.sweeper = Sweeper(
                self.connection, clock, interval=sweep_interval, capacity=capacity
            )
        else:
            self.connection, self.sweeper = shared.connection, shared.sweeper

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """Return what a failing file raises; it is a StorageError in any case."""
        return (sqlite3.Error, OSError)

    # -- fixed window ----------------------------------------------------------------------

    def hit_fixed_window(self, key: str, limit: int | None, expiry: int, amount: int) -> FixedState:
        """Count ``amount`` unless that exceeds ``limit``; None counts whatever it comes to."""
        self.sweeper.ensure_running()
        now, most = self.clock(), _NO_LIMIT if limit is None else limit
        if amount <= most:
            parameters = (key, now, expiry, amount, most, _CLOCK_SKEW)
            row = self.connection.execute(_HIT_FIXED, parameters)
            if row is not None:
                return FixedState(used=row[0], ends=row[1], allowed=True)
        used, ends = self.connection.execute(_FIXED, (key,)) or (0, 0.0)
        if not now < ends <= now + expiry + _CLOCK_SKEW:
            used, ends = 0, now + expiry
        return FixedState(used, ends, allowed=False)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count and return the count; the window begins with the first."""
        return self.hit_fixed_window(key, None, int(expiry), amount).used

    def get(self, key: str) -> int:
        """Return the count of a window that is not over, else 0."""
        used, ends = self._select(_FIXED, key) or (0, 0.0)
        return int(used) if ends > self.clock() else 0

    def get_expiry(self, key: str) -> float:
        """Return when a window ends, else now; epoch seconds."""
        _, ends = self._select(_FIXED, key) or (0, 0.0)
        return float(max(ends, self.clock()))

    # -- moving window ---------------------------------------------------------------------

    def hit_moving_window(self, key: str, limit: int, expiry: int, amount: int) -> MovingState:
        """Enter ``amount`` at this moment if with it no window of ``expiry`` holds too much."""
        self.sweeper.ensure_running()
        return self.connection.transaction(self._hit_moving_window, key, limit, expiry, amount)

    def _hit_moving_window(
        self, file: sqlite3.Connection, key: str, limit: int, expiry: int, amount: int
    ) -> MovingState:
        now = self.clock()
        newest, total = file.execute(_LATEST, (key,)).fetchone() or (now, 0)
        if newest > now + expiry:  # the clock was set back, far
            file.execute("DELETE FROM entries WHERE key = ?", (key,))
            newest, total = now, 0
        since = now - expiry
        _, before = file.execute(_OLDEST, (key, since)).fetchone() or (now, total)
        used = total - before
        if used + amount > limit:
            # All up to the last of those that are too many must have left.
            leaver = before + used + amount - limit
            found = file.execute(_EXPIRES_NEXT, (key, since, min(leaver, total))).fetchone() or (
                now,
            )
            return MovingState(allowed=False, used=used, fits_after=found[0] + expiry)
        at = max(now, newest)
        row = (key, at, total + amount, amount, at + expiry + 1)
        file.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", row)
        return MovingState(allowed=True, used=used + amount, fits_after=now)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Enter ``amount`` if it fits."""
        return self.hit_moving_window(key, limit, int(expiry), amount).allowed

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the oldest moment that counts, else now, and how much does."""
        now = self.clock()
        _, total = self._select(_LATEST, key) or (now, 0)
        oldest, before = self._select(_OLDEST, key, now - expiry) or (now, total)
        return float(oldest), int(total - before)

    # -- sliding window counter --------------------------------------------------------------

    def hit_sliding_window(self, key: str, limit: int, expiry: int, amount: int) -> SlidingState:
        """Count ``amount`` if with it, and what weighs from the window before, it is not too much.

        The weight is ``floor(previous * share still in sight) + current``, as in `limits`.
        """
        self.sweeper.ensure_running()
        key, now = f"{key}/sliding", self.clock()
        number = int(now // expiry)
        row = None
        if amount <= limit:
            parameters = (key, number, expiry, amount, limit, (number + 1) * expiry - now)
            row = self.connection.execute(_HIT_SLIDING, parameters)
        allowed = row is not None
        _, previous, current, ttl = _windows(row or self._select(_SLIDING, key), now, expiry)
        return SlidingState(allowed, previous, ttl, current, ttl + expiry)

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count ``amount`` if it fits."""
        return self.hit_sliding_window(key, limit, int(expiry), amount).allowed

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return both windows: previous count and ttl, current count and ttl."""
        row = self._select(_SLIDING, f"{key}/sliding")
        _, previous, current, ttl = _windows(row, self.clock(), expiry)
        return previous, ttl if previous else 0.0, current, ttl + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget both windows."""
        self.clear(f"{key}/sliding")

    # -- the whole file -----------------------------------------------------------------------

    def check(self) -> bool:
        """Tell whether the file can be read."""
        self._select("SELECT 1 FROM windows LIMIT 1")
        return True

    def clear(self, key: str) -> None:
        """Forget all that is counted under a key."""

        def delete(file: sqlite3.Connection) -> None:
            file.execute("DELETE FROM windows WHERE key = ?", (key,))
            file.execute("DELETE FROM entries WHERE key = ?", (key,))

        self.connection.transaction(delete)

    def reset(self) -> int | None:
        """Forget everything; return the number of rows that were there."""

        def delete(file: sqlite3.Connection) -> int:
            deleted = (file.execute(f"DELETE FROM {table}") for table in ("windows", "entries"))  # noqa: S608 - two names of ours
            return sum(one.rowcount for one in deleted)

        return self.connection.transaction(delete)

    def close(self) -> None:
        """Stop the sweeper and close the file; the next use opens it again."""
        self.sweeper.stop()
        self.connection.close()

    def _select(self, query: str, *parameters: object) -> tuple[float, ...] | None:
        return self.connection.execute(query, parameters)


def _windows(row: tuple[float, ...] | None, now: float, expiry: int) -> tuple[int, int, int, float]:
    """Return the window's number, what came before and in it, and the seconds it has left."""
    number = int(now // expiry)
    left = (number + 1) * expiry - now
    if row is None or not number - 1 <= row[0] <= number + 1:
        return number, 0, 0, left
    there, previous, current = (int(value) for value in row)
    if there < number:
        return number, current, 0, left
    # A clock that went back by a moment: what was counted stays counted.
    return there, previous, current, left if there == number else float(expiry)
