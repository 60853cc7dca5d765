"""What operators have said of versions beside the one in use: loaded, retired, on trial.

The store holds it, so that every worker of every host follows within a second and a trial that
was stopped stays stopped. Which version is in use is said by files beside the models.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from secureml.state.store import Store

TOPIC = "deployments"
_WHY_LIMIT = 500

_metadata = sa.MetaData()
_versions = sa.Table(
    "model_versions",
    _metadata,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(9), primary_key=True),
    sa.Column("loaded", sa.Boolean, nullable=False),
    sa.Column("deprecated", sa.Float),
    sa.Column("sunset", sa.Float),
    sa.Column("link", sa.String(500), nullable=False),
)
_trials = sa.Table(
    "model_trials",
    _metadata,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("run", sa.String(16), nullable=False),
    sa.Column("version", sa.String(9), nullable=False),
    sa.Column("canary", sa.Boolean, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("limits", sa.JSON, nullable=False),
    sa.Column("stopped", sa.Float),
    sa.Column("why", sa.String(_WHY_LIMIT), nullable=False),
)


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What ends a trial by itself, once ``least`` requests were compared.

    ``error_rate``: how much greater the share of failed requests may be than with the version in
    use; ``latency``: how many times as long an answer may take; ``disagreement``: of how many rows,
    as a share, the answer may differ. None is no limit.
    """

    least: int = 100
    error_rate: float | None = 0.01
    latency: float | None = 3.0
    disagreement: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A version tried beside the one in use; ``stopped`` is when it ended, in epoch seconds."""

    run: str
    version: str
    canary: bool
    share: float
    started: float
    limits: TrialLimits
    stopped: float | None = None
    why: str = ""

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.stopped is None


@dataclass(frozen=True, slots=True)
class Retirement:
    """When a version became, or becomes, deprecated, and when it ends, in epoch seconds.

    ``link`` is a page about it, "" for none.
    """

    deprecated: float | None
    sunset: float | None
    link: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was said of one model's versions."""

    loaded: frozenset[str] = frozenset()
    retirements: Mapping[str, Retirement] = field(default_factory=lambda: MappingProxyType({}))
    trial: Trial | None = None


NOTHING = Deployment()


class Deployments:
    """The deployments of this site; every change is seen by all workers, see `Store.version`."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        new_run: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        store.register(_metadata)
        self._store, self._now, self._new_run = store, now, new_run

    def counter(self) -> int:
        """Return how often anything changed."""
        return self._store.version(TOPIC)

    def read(self) -> dict[str, Deployment]:
        """Return what was said, by model; a model of which nothing was said is not there."""
        with self._store.read() as connection:
            rows = connection.execute(_versions.select()).all()
            trials = {row.model: _trial(row) for row in connection.execute(_trials.select())}
        loaded: dict[str, set[str]] = defaultdict(set)
        retired: dict[str, dict[str, Retirement]] = defaultdict(dict)
        for row in rows:
            if row.loaded:
                loaded[row.model].add(row.version)
            if row.deprecated is not None or row.sunset is not None:
                found = Retirement(row.deprecated, row.sunset, row.link)
                retired[row.model][row.version] = found
        return {
            model: Deployment(frozenset(loaded[model]), retired[model], trials.get(model))
            for model in {*loaded, *retired, *trials}
        }

    def of(self, model: str) -> Deployment:
        """Return what was said of one model."""
        return self.read().get(model, NOTHING)

    def set_loaded(self, model: str, version: str, *, loaded: bool) -> None:
        """Have a version answer clients who name it, or no longer."""
        self._set(model, version, loaded=loaded)

    def retire(self, model: str, version: str, retirement: Retirement) -> None:
        """Announce the end of a version; with neither date, take that back."""
        self._set(model, version, **asdict(retirement))

    def start_trial(
        self, model: str, version: str, *, canary: bool, share: float, limits: TrialLimits
    ) -> Trial:
        """Begin to try a version, in place of what was tried before."""
        trial = Trial(self._new_run(), version, canary, share, self._now(), limits)
        row = {**asdict(trial), "model": model}
        with self._store.begin() as connection:
            connection.execute(_trials.delete().where(_trials.c.model == model))
            connection.execute(_trials.insert().values(row))
            self._store.touch(connection, TOPIC)
        return trial

    def stop_trial(self, model: str, run: str, why: str) -> bool:
        """End a trial; False where it had ended, or another had begun: nothing is changed then."""
        with self._store.begin() as connection:
            ended = connection.execute(
                _trials.update()
                .where(_trials.c.model == model, _trials.c.run == run, _trials.c.stopped.is_(None))
                .values(stopped=self._now(), why=why[:_WHY_LIMIT])
            )
            if ended.rowcount:
                self._store.touch(connection, TOPIC)
        return bool(ended.rowcount)

    def forget(self, model: str, version: str | None = None) -> None:
        """Drop what was said of a version that is removed, or of all of a model's."""
        with self._store.begin() as connection:
            for table in (_versions, _trials):
                which = table.c.model == model
                if version is not None:
                    which &= table.c.version == version
                connection.execute(table.delete().where(which))
            self._store.touch(connection, TOPIC)

    def _set(self, model: str, version: str, **values: Any) -> None:
        key = {"model": model, "version": version}
        with self._store.begin() as connection:
            here = (_versions.c.model == model) & (_versions.c.version == version)
            if connection.execute(_versions.update().where(here).values(values)).rowcount == 0:
                unsaid = {"loaded": False, "deprecated": None, "sunset": None, "link": ""}
                connection.execute(_versions.insert().values({**key, **unsaid, **values}))
            self._store.touch(connection, TOPIC)


def _trial(row: Any) -> Trial:
    return Trial(
        row.run,
        row.version,
        row.canary,
        row.share,
        row.started,
        TrialLimits(**row.limits),
        row.stopped,
        row.why,
    )
