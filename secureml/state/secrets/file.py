"""A secret in a file, followed on the way of the requests: a look costs a few microseconds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from secureml.config_error import ConfigError
from secureml.state.secrets.live import LiveSecret, RefreshPolicy
from secureml.state.secrets.local_sources import Mark, mark_of, read_file

FILE_LOOK = 1.0  # seconds between two looks at a file


class FileSecret(LiveSecret):
    """Follows a file by its mark; content that may still be written is not used yet."""

    def __init__(
        self,
        name: str,
        path: Path,
        scheme: str,
        options: RefreshPolicy,
        monotonic: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._path, self._scheme, self._now = path, scheme, now
        read_at = monotonic()
        super().__init__(name, read_file(path, scheme)[0], options, monotonic)
        self._state = replace(self._state, good_until=read_at + options.max_age)
        # A file that changes twice within one tick keeps its mark, so the first is not used.
        self._mark: Mark | None = None
        self._seen: Mark | None = None
        self._due = read_at + FILE_LOOK

    def _refresh(self, now: float) -> None:
        if not self._lock.acquire(blocking=False):
            return  # another thread is looking; what we have is at most a second old
        try:
            self._due = now + FILE_LOOK
            self._look(now)
        except (OSError, ConfigError) as error:
            self._failed(error)
        finally:
            self._lock.release()

    def _look(self, now: float) -> None:
        found = self._path.stat()
        mark = mark_of(found)
        if mark == self._mark:
            self._adopt(self._state.secret, now)
        elif mark == self._seen or self._is_quiet(found):
            reading, self._mark = read_file(self._path, self._scheme)
            self._adopt(reading.secret, now)
        self._seen = mark

    def _is_quiet(self, found: os.stat_result) -> bool:
        # Someone may still be writing: half a secret would push out the previous one.
        return self._now() - max(found.st_mtime, found.st_ctime) >= FILE_LOOK

    def _look_for(self, offered: bytes) -> bool:
        with self._lock:
            try:
                if mark_of(self._path.stat()) == self._mark:
                    return False
                reading, mark = read_file(self._path, self._scheme)
            except (OSError, ConfigError):
                return False
            # What another process already uses has been written to its end.
            if not reading.secret.matches(offered):
                return False
            self._mark = mark
            self._adopt(reading.secret, self._monotonic())
            return True
