"""Anomaly: notices clients and addresses that behave unusually here, and can block them.

Runs in ADMIT (is this address banned?), LIMIT (is this client held?) and RECORD (count).
Windows are scored in the background, and each score has its reasons. Before the first
`secureml anomaly train` it only counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import (
    ConfigError,
    Event,
    Exchange,
    Host,
    Kind,
    Measure,
    ModelRefused,
    Plugin,
    Problem,
    StoreUnavailable,
)
from secureml.kit import fields
from secureml.kit.instance_file import InstanceFile
from secureml.kit.networks import host_prefix

from .blocks import BAN, HOLD, Blocks
from .card_section import BinsSection
from .decision import ACTIONS, ADDRESS, ALERT, CLIENT, Action, Policy, describe
from .drift_counts import DriftCounters, DriftStore
from .scorer import Schedule, Scorer
from .window import Observation
from .window_store import WindowStore

if TYPE_CHECKING:
    import click

    from .baseline import Baseline
    from .drift import FeatureDrift

FILE = "baseline.json"
MAX_FEATURES = 20  # features of a model that are measured: a metric has bounded labels


class Config(Schema):
    """The ``[plugins.anomaly]`` table."""

    client_action = plain.String(
        load_default=ALERT,
        validate=validate.OneOf(ACTIONS),
        metadata={
            "description": "What is done about a client that behaves unusually: `observe` keeps "
            "the score, `alert` reports it, `hold` refuses it until an operator lifts the hold, "
            "`ban` refuses it for `ban_duration`."
        },
    )
    address_action = plain.String(
        load_default=ALERT,
        validate=validate.OneOf(ACTIONS),
        metadata={"description": "The same for an address; IPv6 addresses count by their /64."},
    )
    patience = fields.StrictInteger(
        load_default=3,
        validate=validate.Range(1, 100),
        metadata={
            "description": "Unusual windows in a row after which a client or address is blocked."
        },
    )
    ban_duration = fields.Duration(
        load_default=900.0,
        validate=validate.Range(1, 30 * 86400),
        metadata={"description": "How long a ban lasts."},
    )
    window = fields.Duration(
        load_default=60.0,
        validate=validate.Range(1, 3600),
        metadata={"description": "The length of a window; train again after a change."},
    )
    flush_interval = fields.Duration(
        load_default=10.0,
        validate=validate.Range(1, 600),
        metadata={"description": "How often each worker writes its counts to the store."},
    )
    min_requests = fields.StrictInteger(
        load_default=10,
        validate=validate.Range(1, 100_000),
        metadata={"description": "Windows with fewer requests are not scored."},
    )
    drift_window = fields.Duration(
        load_default=86400.0,
        validate=validate.Range(3600, 30 * 86400),
        metadata={
            "description": "How far back rows count when they are compared with the model's card."
        },
    )
    max_rows = fields.StrictInteger(
        load_default=200_000,
        validate=validate.Range(1000, 10_000_000),
        metadata={"description": "Counts kept for training, one row a worker, subject and flush."},
    )


class Anomaly(Plugin):
    """Counts what subjects do in windows of time, and blocks who is unusual where that is set."""

    name = "anomaly"
    schema = Config
    card_section = BinsSection()
    instance_files = (
        InstanceFile("anomaly", "what is learned of normal traffic", 0o750, folder=True),
        InstanceFile(f"anomaly/{FILE}", "the baseline that commands learned", 0o640),
    )
    problems = (
        Kind("anomaly.held", 403, "This client is blocked until an operator lifts the hold"),
        Kind("anomaly.banned", 429, "Blocked for a while because of unusual behaviour"),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        keys = ("client_action", "address_action", "patience", "ban_duration")
        policy = Policy(*(config[key] for key in keys))
        self._now, self._host_tell = host.now, host.emit
        self._blocks = Blocks(host.store, host.now)
        self._window_store = WindowStore(host.store, host.now, config["max_rows"])
        schedule = Schedule(config["window"], config["flush_interval"])
        self._min_requests = config["min_requests"]
        self._scorer = Scorer(
            self._window_store,
            self._blocks,
            schedule,
            policy,
            self._min_requests,
            host.now,
            self._report,
        )
        self._counters = DriftCounters()
        self._drift = DriftStore(host.store, host.now, config["drift_window"])
        self._models = host.models
        self._scorer.after_flush = self._write_counters
        self._scorer.after_fork = self._counters.start_empty
        self._scorer.outages = (StoreUnavailable,)
        self._file = host.folder / FILE
        self._baseline = _read(self._file)
        self._scorer.baseline = lambda: self._baseline

    def admit(self, exchange: Exchange) -> None:
        """Raise Problem where the address is blocked."""
        if exchange.client_address:
            self._refuse(address_subject(exchange.client_address))

    def limit(self, exchange: Exchange) -> None:
        """Raise Problem where the client is blocked."""
        if exchange.principal is not None:
            self._refuse(CLIENT + exchange.principal.client)

    def _refuse(self, subject: str) -> None:
        try:
            block = self._blocks.find(subject)
        except StoreUnavailable as error:
            # It is not known which callers are blocked, so none is let in.
            raise Problem("unavailable", reason="anomaly.store") from error
        if block is None:
            return
        if block.kind == BAN and block.until is not None:
            left = {"Retry-After": str(int(block.until - self._now()) + 1)}
            raise Problem("anomaly.banned", reason="anomaly.banned", headers=left)
        raise Problem("anomaly.held", reason="anomaly.held")

    def record(self, exchange: Exchange) -> None:
        """Count the request for its client and its address."""
        policy = exchange.policy
        if policy is not None and policy.health and exchange.status < 400:
            return  # monitoring asks all day
        self._scorer.count(subjects(exchange), observation(exchange))
        if exchange.result is not None and exchange.model is not None:
            model = exchange.model
            self._counters.count(model.name, model.version, model.card, exchange.read_rows())
        self._scorer.start()

    def _write_counters(self) -> None:
        taken = self._counters.take()
        try:
            self._drift.add(taken)
        except Exception:
            self._counters.put_back(taken)
            raise

    def _drift_of(self, model: str) -> list[FeatureDrift]:
        """Return how far the features of a model's current version have moved."""
        handle = self._models.get(model)
        card = handle.card if handle is not None else self._models.card(model)
        return self._drift.drift_of(model, card.version, card)

    def _drift_measures(self, model: str) -> list[Measure]:
        try:
            found = self._drift_of(model)
        except ModelRefused:
            return []  # removed a moment ago: the numbers of all others are there
        text = "Population stability index against the card."
        return [
            Measure("anomaly_drift_psi", each.psi, text, {"model": model, "feature": each.feature})
            for each in found[:MAX_FEATURES]
        ]

    def _report(self, action: Action) -> None:
        score = action.score
        own = score.subject.startswith(CLIENT)
        client = score.subject.removeprefix(CLIENT) if own else ""
        facts: dict[str, Any] = {
            "subject": score.subject,
            "score": round(score.score, 3),
            "streak": score.streak,
            "reasons": describe(score),
            "action": action.block.kind if action.block else ALERT,
        }
        self._host_tell(Event("anomaly_detected", client, facts))

    def measures(self) -> list[Measure]:
        """Return how many are blocked, the age of the baseline, and the drift of features."""
        kinds = [block.kind for block in self._blocks.list()]
        text = "Subjects that are blocked."
        found = [
            Measure("anomaly_blocks", kinds.count(kind), text, {"kind": kind})
            for kind in (HOLD, BAN)
        ]
        if self._baseline is not None:
            age = self._now() - self._baseline.trained_at
            text = "Since the baseline was trained."
            found.append(Measure("anomaly_baseline_age_seconds", age, text))
        for model in self._models.names():
            found += self._drift_measures(model)
        return found

    def commands(self) -> click.Group:
        """Return `secureml anomaly ...`."""
        from .cli import CommandContext, group

        context = CommandContext(
            self._window_store,
            self._blocks,
            self._file,
            self._baseline,
            self._min_requests,
            self._now,
            self._drift_of,
        )
        return group(context, self._host_tell)

    def close(self) -> None:
        """Write what was counted."""
        self._scorer.close()


def subjects(exchange: Exchange) -> tuple[str, ...]:
    """Return the subjects that a request is counted for."""
    found: tuple[str, ...] = ()
    if exchange.client_address:
        found += (address_subject(exchange.client_address),)
    if exchange.principal is not None:
        found += (CLIENT + exchange.principal.client,)
    return found


def address_subject(address: str) -> str:
    """Return the subject of an address; an IPv6 one by its /64, which one subscriber has."""
    return ADDRESS + host_prefix(address)


def observation(exchange: Exchange) -> Observation:
    """Return what is counted of a request."""
    result = exchange.result
    labels = result.predictions if result is not None and result.classes is not None else ()
    flagged = any(event.name.startswith("input_validation") for event in exchange.events)
    rows, size = exchange.row_count, exchange.bytes_in
    return Observation(exchange.status, exchange.request.path, rows, size, flagged, labels)


def _read(path: Path) -> Baseline | None:
    """Return the baseline, None before the first training; a damaged file stops the start."""
    try:
        text = path.read_bytes()
        # Importing scikit-learn takes most of a second: only where there is a baseline.
        from .baseline import Baseline

        return Baseline.from_json(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        what = f"the baseline cannot be read ({error.strerror})"
        fix = "make it readable for the user of the service"
    except ValueError as error:
        # No command works while the start is refused, so the file goes first.
        what, fix = str(error), "remove the file, restart, and train again: secureml anomaly train"
    raise ConfigError(what, file=str(path), fix=fix)
