"""Anomaly: behaviour that this site has not seen before is noticed, and can be stopped.

Stands in ADMIT (is this address banned?), LIMIT (is this client held?) and RECORD (learn).
Scores are made off the request path, and each one says what made it. Until
`secureml anomaly train` has shown it what is usual, it only counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
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
    Plugin,
    Problem,
    StoreUnavailable,
    fields,
)

from .bars import BAN, Bars
from .drift import Bins, Moved, Tally, moved
from .drift_ledger import DriftLedger
from .guard import ACTS, ADDRESS, ALERT, CLIENT, Deed, Terms, words
from .ledger import Ledger
from .watcher import Spans, Watcher
from .window import Fact

if TYPE_CHECKING:
    import click

    from .baseline import Baseline

FILE = "baseline.json"
FARTHEST = 20  # features of a model that are measured: a metric has bounded labels


class Config(Schema):
    """The ``[plugins.anomaly]`` table."""

    client = plain.String(
        load_default=ALERT,
        validate=validate.OneOf(ACTS),
        metadata={
            "description": "What is done about a client that behaves unusually: `observe` keeps "
            "the score, `alert` tells it, `hold` refuses it until an operator lifts it, `ban` "
            "refuses it for `ban_for`."
        },
    )
    address = plain.String(
        load_default=ALERT,
        validate=validate.OneOf(ACTS),
        metadata={"description": "The same for an address, an IPv6 one by its /64."},
    )
    patience = fields.StrictInteger(
        load_default=3,
        validate=validate.Range(1, 100),
        metadata={"description": "Unusual windows in a row before anyone is held or banned."},
    )
    ban_for = fields.Duration(
        load_default=900.0,
        validate=validate.Range(1, 30 * 86400),
        metadata={"description": "How long a ban lasts."},
    )
    window = fields.Duration(
        load_default=60.0,
        validate=validate.Range(1, 3600),
        metadata={"description": "The span that is judged as one; train again after a change."},
    )
    flush = fields.Duration(
        load_default=10.0,
        validate=validate.Range(1, 600),
        metadata={"description": "How often each worker writes down what it counted."},
    )
    least = fields.StrictInteger(
        load_default=10,
        validate=validate.Range(1, 100_000),
        metadata={"description": "Requests in a window below which nothing is said about it."},
    )
    drift_span = fields.Duration(
        load_default=86400.0,
        validate=validate.Range(3600, 30 * 86400),
        metadata={"description": "The time over which what is asked is compared with the card."},
    )
    keep = fields.StrictInteger(
        load_default=200_000,
        validate=validate.Range(1000, 10_000_000),
        metadata={"description": "Rows of counts that are kept to learn from."},
    )


class Anomaly(Plugin):
    """Keeps windows of behaviour, and keeps out whom they give away where that is asked for."""

    name = "anomaly"
    schema = Config
    problems = (
        Kind("anomaly.held", 403, "This client is held until an operator lifts it"),
        Kind("anomaly.banned", 429, "Refused for a while, for unusual behaviour"),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        terms = Terms(config["client"], config["address"], config["patience"], config["ban_for"])
        self._now, self._host_tell = host.now, host.emit
        self._bars = Bars(host.store, host.now)
        self._ledger = Ledger(host.store, host.now, config["keep"])
        spans = Spans(config["window"], config["flush"])
        self._least = config["least"]
        self._watcher = Watcher(
            self._ledger, self._bars, spans, terms, self._least, host.now, self._tell
        )
        self._tally = Tally()
        self._drift = DriftLedger(host.store, host.now, config["drift_span"])
        self._models = host.models
        self._watcher.also = self._write_tally
        self._file = host.folder / FILE
        self._baseline = _read(self._file)
        self._watcher.baseline = lambda: self._baseline

    def admit(self, exchange: Exchange) -> None:
        """Raise Problem where the address is kept out."""
        if exchange.client_address:
            self._refuse(address_subject(exchange.client_address))

    def limit(self, exchange: Exchange) -> None:
        """Raise Problem where the client is kept out."""
        if exchange.principal is not None:
            self._refuse(CLIENT + exchange.principal.client)

    def _refuse(self, subject: str) -> None:
        try:
            bar = self._bars.standing(subject)
        except StoreUnavailable as error:
            # Who is kept out cannot be asked, so nobody is let in.
            raise Problem("unavailable", reason="anomaly.store") from error
        if bar is None:
            return
        if bar.kind == BAN and bar.until is not None:
            left = {"Retry-After": str(int(bar.until - self._now()) + 1)}
            raise Problem("anomaly.banned", reason="anomaly.banned", headers=left)
        raise Problem("anomaly.held", reason="anomaly.held")

    def record(self, exchange: Exchange) -> None:
        """Count the request for its client and its address."""
        policy = exchange.policy
        if policy is not None and policy.health and exchange.status < 400:
            return  # whoever watches over the server asks all day
        self._watcher.note(subjects(exchange), fact(exchange))
        if exchange.result is not None and exchange.model is not None:
            model = exchange.model
            self._tally.note(model.name, model.version, model.card, exchange.read_rows())
        self._watcher.run()

    def _write_tally(self) -> None:
        taken = self._tally.take()
        try:
            self._drift.add(taken)
        except Exception:
            self._tally.put_back(taken)
            raise

    def _moved(self, model: str) -> list[Moved]:
        """Return how far the features of a model's current version have moved."""
        handle = self._models.get(model)
        card = handle.card if handle is not None else self._models.card(model)
        counts = self._drift.total(model, card.version)
        if card.reference is None or counts is None:
            return []
        return moved(Bins(card, card.reference).names, counts)

    def _tell(self, deed: Deed) -> None:
        standing = deed.standing
        client = standing.subject.removeprefix(CLIENT) if CLIENT in standing.subject else ""
        facts: dict[str, Any] = {
            "subject": standing.subject,
            "score": round(standing.score, 3),
            "streak": standing.streak,
            "why": words(standing),
            "act": deed.bar.kind if deed.bar else ALERT,
        }
        self._host_tell(Event("anomaly_detected", client, facts))

    def measures(self) -> list[Measure]:
        """Return how many are kept out, and how old what is usual is."""
        kinds = [bar.kind for bar in self._bars.list()]
        found = [
            Measure("anomaly_bars", kinds.count(kind), "Subjects kept out.", {"kind": kind})
            for kind in ("hold", "ban")
        ]
        if self._baseline is not None:
            age = self._now() - self._baseline.made
            found.append(Measure("anomaly_baseline_age_seconds", age, "Since it was trained."))
        for model in self._models.names():
            found += [
                Measure(
                    "anomaly_drift_psi",
                    each.psi,
                    "Population stability index against the card.",
                    {"model": model, "feature": each.feature},
                )
                for each in self._moved(model)[:FARTHEST]
            ]
        return found

    def commands(self) -> click.Group:
        """Return `secureml anomaly ...`."""
        from .cli import Counter, group

        counter = Counter(
            self._ledger,
            self._bars,
            self._file,
            self._baseline,
            self._least,
            self._now,
            self._moved,
        )
        return group(counter, self._host_tell)

    def close(self) -> None:
        """Write what was counted."""
        self._watcher.close()


def subjects(exchange: Exchange) -> tuple[str, ...]:
    """Return whom a request is counted for."""
    found: tuple[str, ...] = ()
    if exchange.client_address:
        found += (address_subject(exchange.client_address),)
    if exchange.principal is not None:
        found += (CLIENT + exchange.principal.client,)
    return found


def address_subject(address: str) -> str:
    """Return the name of an address: one home or office has a whole /64 of IPv6 to itself."""
    if ":" not in address:
        return ADDRESS + address
    try:
        found = ip_address(address)
    except ValueError:
        return ADDRESS + address[:64]
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return f"{ADDRESS}{IPv6Address(int(found) >> 64 << 64)}/64"
    return ADDRESS + address


def fact(exchange: Exchange) -> Fact:
    """Return what counts about a request."""
    result = exchange.result
    labels = result.predictions if result is not None and result.classes is not None else ()
    flagged = any(event.name.startswith("input_validation") for event in exchange.events)
    path = exchange.request.path
    return Fact(exchange.status, path, exchange.row_count, exchange.bytes_in, flagged, labels)


def _read(path: Path) -> Baseline | None:
    """Return what was trained, None where nothing was; a damaged file stops the start."""
    try:
        text = path.read_text("utf-8")
        # scikit-learn takes most of a second, which a command need not wait for in vain.
        from .baseline import Baseline

        return Baseline.from_json(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"what is usual cannot be read ({type(error).__name__})",
            file=str(path),
            fix="train again: secureml anomaly train",
        ) from None
