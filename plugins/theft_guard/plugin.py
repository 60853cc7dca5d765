"""Theft guard: notices when somebody copies a model or probes its decision boundary.

Runs in VALIDATE (is this client throttled or held?) and SHAPE (assess rows and answer, coarsen
the answer where that is due, store new levels). It comes before `output_rules` in the list, or the
start is refused: it needs the probabilities.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from secureml import (
    Exchange,
    Host,
    Kind,
    Measure,
    Plugin,
    Problem,
    Result,
    StoreUnavailable,
)

from .assessor import ALL, BLOCK, CLIENT, Assessment, Assessor, Findings, Subject, subjects_of
from .batch import QueryBatch, row_digests
from .binning import Binner
from .card_section import ProfileSection
from .coarsening import DECIMALS, coarsen, margins
from .enforcements import Enforcement, Enforcements
from .escalation import COARSEN, FLAG, HOLD, THROTTLE, WATCHED, budget_wait, throttle_wait
from .feature_space import FeatureSpace
from .reference_profile import profile_of
from .settings import Config, policy_for
from .shared_table import SharedTable

if TYPE_CHECKING:
    import click

    from secureml import ModelHandle

log = logging.getLogger("secureml.theft_guard")


class TheftGuard(Plugin):
    """Compares what each client asks with what the model's card calls usual."""

    name = "theft_guard"
    schema = Config
    card_section = ProfileSection()
    # One detector needs the probabilities, and output_rules takes them away.
    runs_before = ("output_rules",)
    problems = (
        Kind("theft_guard.throttled", 429, "Too many new rows; try again later"),
        Kind("theft_guard.budget", 429, "The budget of new rows of this client is spent"),
        Kind("theft_guard.held", 403, "This client is blocked until an operator lifts the hold"),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        randint = random.SystemRandom().randint
        policies = {kind: policy_for(config, kind, randint) for kind in (CLIENT, BLOCK, ALL)}
        self._policies, self._coarsening, self._now = policies, config["coarsening"], host.now
        self._exempt = frozenset(config["exempt_clients"])
        sizes = {CLIENT: config["max_clients"], BLOCK: config["max_clients"], ALL: 16}
        self._table = SharedTable(host.instance / config["file"], sizes)
        self._assessor = Assessor(self._table, policies, host.now)
        self._enforcements = Enforcements(host.store, host.now)
        self._models, self._host_tell = host.models, host.emit
        # Weak: a model that was swapped out must not live on here.
        self._binners: WeakKeyDictionary[ModelHandle, Binner | None] = WeakKeyDictionary()

    def validate(self, exchange: Exchange) -> None:
        """Raise Problem where the caller is held, throttled, or has spent its budget."""
        if exchange.model is None or exchange.policy is None or exchange.policy.body is None:
            return
        try:
            for subject in _subjects(exchange, exchange.model):
                self._refuse(subject)
        except StoreUnavailable as error:
            # Who is held cannot be asked, so nobody is let in.
            raise Problem("unavailable", reason="theft_guard.store") from error
        except OSError as error:
            raise Problem("unavailable", reason="theft_guard.file") from error

    def _refuse(self, subject: Subject) -> None:
        if subject.kind == ALL:
            return
        enforcement = self._enforcements.find(subject.kind, subject.name, subject.model)
        record = self._table.find(subject.kind, subject.key)
        lifted = 0.0 if enforcement is None else enforcement.lifted
        if record is not None and float(record["level_since"]) < lifted:
            self._assessor.reset(subject)
            return
        if subject.kind == CLIENT and subject.name in self._exempt:
            return
        if enforcement is not None and enforcement.level == HOLD:
            raise Problem("theft_guard.held", reason=f"theft_guard.held:{subject.kind}")
        if record is None:
            return
        policy, now = self._policies[subject.kind], self._now()
        self._wait("theft_guard.throttled", throttle_wait(record, now))
        self._wait("theft_guard.budget", budget_wait(record, policy, now))

    def _wait(self, code: str, seconds: float) -> None:
        if seconds > 0:
            raise Problem(code, reason=code, headers={"Retry-After": str(int(seconds) + 1)})

    def shape(self, exchange: Exchange, result: Result) -> Result:
        """Assess the rows with their answer; return the answer, coarsened where that is due.

        Raises Problem where these very rows brought a subject to be throttled or held: what a
        batch may not have row by row, it may not have at once.
        """
        model, payload = exchange.model, exchange.payload
        if model is None or payload is None or "instances" not in payload:
            return result
        binner = self._binner_for(model)
        queries = _query_batch(exchange.read_rows(), result, self._table.secret)
        client = _client(exchange)
        exempt, coarse = client in self._exempt, False
        findings: Findings = []
        stopped: Assessment | None = None
        for subject in _subjects(exchange, model):
            if subject.kind == CLIENT:
                found, findings = self._assessor.assess(subject, queries, binner)
            elif binner is None:
                continue
            else:
                found = self._assessor.assess_group(subject, client, len(queries), findings)
            for level in found.new_levels:
                if not exempt or level in (FLAG, WATCHED):
                    self._report(exchange, found, level)
            if found.level and not exempt:
                coarse |= COARSEN in self._policies[subject.kind].levels[: found.level + 1]
                stopped = stopped or (found if {THROTTLE, HOLD} & {*found.new_levels} else None)
        if stopped is not None:
            self._stop(stopped)
        return self._coarsen(result) if coarse else result

    def _stop(self, found: Assessment) -> None:
        if HOLD in found.new_levels:
            raise Problem("theft_guard.held", reason=f"theft_guard.held:{found.subject.kind}")
        record = self._table.find(found.subject.kind, found.subject.key)
        if record is not None:
            self._wait("theft_guard.throttled", throttle_wait(record, self._now()))

    def _coarsen(self, result: Result) -> Result:
        probabilities = coarsen(result.probabilities, self._coarsening)
        if probabilities is None:
            return replace(result, probabilities=None)
        decimals = DECIMALS if result.decimals is None else min(DECIMALS, result.decimals)
        return replace(result, probabilities=probabilities, decimals=decimals)

    def _binner_for(self, model: ModelHandle) -> Binner | None:
        if model in self._binners:
            return self._binners[model]
        profile = profile_of(model.card)
        if profile is None:
            log.warning(
                "model %s was sealed without a table: theft_guard checks its budget alone; "
                "fix: seal it again with --data",
                model.name,
            )
            self._binners[model] = None
        else:
            self._binners[model] = Binner(FeatureSpace(model.card.features, profile))
        return self._binners[model]

    def _report(self, exchange: Exchange, found: Assessment, level: str) -> None:
        subject, reasons = found.subject, ",".join(found.reasons)
        exchange.add_event(
            f"model_theft_{'cleared' if level == WATCHED else level}",
            subject=f"{subject.kind}:{subject.name}",
            model=subject.model,
            score=round(found.score, 1),
            rows=found.rows,
            reasons=reasons,
        )
        self._enforcements.save(
            Enforcement(*subject, level, self._now(), found.score, found.rows, reasons, 0.0)
        )

    def measures(self) -> list[Measure]:
        """Return how many subjects are at each level."""
        name, text = "theft_guard_subjects", "Subjects at a level."
        levels = [found.level for found in self._enforcements.list_all()]
        return [
            Measure(name, levels.count(level), text, {"level": level})
            for level in self._policies[CLIENT].levels[1:]
        ]

    def ready(self) -> str | None:
        """Return `theft_guard_file` when the shared table cannot be used."""
        try:
            self._table.find(ALL, "")
        except OSError:
            return "theft_guard_file"
        return None

    def commands(self) -> click.Group:
        """Return `secureml theft-guard ...`."""
        from .cli import CommandContext, group

        context = CommandContext(self._enforcements, self._table, self._policies[CLIENT], self._now)
        return group(context, self._host_tell)

    def close(self) -> None:
        """Close the shared table."""
        self._table.close()


def _client(exchange: Exchange) -> str:
    return exchange.principal.client if exchange.principal else "anonymous"


def _subjects(exchange: Exchange, model: ModelHandle) -> Iterator[Subject]:
    return subjects_of(_client(exchange), exchange.client_address, model.name)


def _query_batch(rows: Any, result: Result, key: bytes) -> QueryBatch:
    indexes = {label: index for index, label in enumerate(result.classes or ())}
    found = [indexes.get(answer, 0) for answer in result.predictions] if indexes else 0
    labels = np.broadcast_to(np.asarray(found, dtype=np.intp), len(result.predictions))
    return QueryBatch(rows, margins(result.probabilities), labels, row_digests(rows, key))
