"""The limits as Flask-Limiter knows them: it reads each, opens the storage, and reports.

An adapter, so it may know Flask. Every rule is declared to a `flask_limiter.Limiter`, which
parses it and makes the storage its URL names; whoever looks into ``app.extensions["limiter"]``
finds them all. What it does not get is its hooks: on the path of a request it costs 60
microseconds where a strategy of `limits` costs ten, and the pipeline's phases are the only
hooks in the application. `Limiter.init_app` registers none for a limiter that the app already has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Flask
from flask_limiter import ApplicationLimit, Limiter
from limits import RateLimitItem
from limits.storage import Storage

from .rules import Rule
from .sqlite_storage import SCHEME, SQLiteStorage
from .windows import STRATEGIES, Window

LASTING_SIZE = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where counting is done: a URL for `limits` and what its storage takes beside it."""

    url: str
    options: Mapping[str, Any]


def file_place(path: Path, *, clock: Callable[[], float], busy: float, **words: Any) -> Place:
    """Return the place that is a SQLite file of ours; ``words`` as `SQLiteStorage` takes them."""
    options = {"clock": clock, "busy": busy, "wrap_exceptions": True, **words}
    return Place(f"{SCHEME}://{quote(str(path))}", options)


class Declared:
    """The rules, declared; ``attach`` shows them to an app, and without one it works as well."""

    def __init__(
        self,
        rules: Sequence[Rule],
        quick: Place,
        lasting: Place,
        clock: Callable[[], float],
        caller: Callable[[Rule], Callable[[], str]],
    ) -> None:
        self._clock = clock
        self._limits = {rule: _declare(rule, caller) for rule in rules}
        self.items: dict[Rule, RateLimitItem] = {
            rule: next(iter(limit)).limit for rule, limit in self._limits.items()
        }
        self._limiters = {
            lasts: _limiter(place, [self._limits[r] for r in rules if r.allowance.lasting == lasts])
            for lasts, place in ((False, quick), (True, lasting))
        }
        self._windows: dict[tuple[str, bool], Window] = {}

    def attach(self, app: Flask) -> None:
        """Show the limits to an app; not one hook of Flask-Limiter's is registered."""
        self.close()
        self._windows.clear()
        for limiter in self._limiters.values():
            app.extensions.setdefault("limiter", set()).add(limiter)
            limiter.init_app(app)

    def storage(self, *, lasting: bool) -> Storage:
        """Return the storage of limits that outlive a restart, or of the others."""
        limiter = self._limiters[lasting]
        if not limiter.initialized:
            self.attach(Flask("rate_limit"))  # a command has no app
        return limiter.storage

    def window(self, strategy: str, *, lasting: bool) -> Window:
        """Return a strategy over the storage; they are made once."""
        key = strategy, lasting
        if key not in self._windows:
            storage = self.storage(lasting=lasting)
            # Other storages ask the system's clock: what they say is compared with the same.
            clock = self._clock if isinstance(storage, SQLiteStorage) else time.time
            self._windows[key] = STRATEGIES[strategy](storage, clock)
        return self._windows[key]

    def in_use(self) -> list[bool]:
        """Say which storages are needed: False for the quick one, True for the lasting one."""
        return sorted({rule.allowance.lasting for rule in self._limits} | {False})

    def close(self) -> None:
        """Close the files, where there are."""
        for limiter in self._limiters.values():
            if limiter.initialized and isinstance(limiter.storage, SQLiteStorage):
                limiter.storage.close()


def _declare(rule: Rule, caller: Callable[[Rule], Callable[[], str]]) -> ApplicationLimit:
    return ApplicationLimit(
        limit_provider=rule.allowance.notation, key_function=caller(rule), scope=rule.name
    )


def _limiter(place: Place, declared: list[ApplicationLimit]) -> Limiter:
    return Limiter(
        lambda: "",
        application_limits=[*declared],
        storage_uri=place.url,
        storage_options=dict(place.options),
        headers_enabled=False,
    )
