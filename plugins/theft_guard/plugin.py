"""Theft guard: a model is not copied, nor its boundary felt out, without somebody noticing.

Stands in VALIDATE (is this client throttled or held?) and SHAPE (judge rows and answer, give
less of it where that is due, write down who rose). It comes before `output_rules`
in the list, or the start is refused: it wants to see how sure the model was.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from secureml import (
    Exchange,
    Host,
    Kind,
    Measure,
    ModelHandle,
    Plugin,
    Problem,
    Result,
    StoreUnavailable,
    Typicality,
)

from .asked import Asked, digests
from .coarse import coarser, margins
from .evidence import Scale
from .guard import ALL, BLOCK, CLIENT, Findings, Guard, Party, Standing, parties
from .levels import COARSEN, FLAG, HOLD, THROTTLE, WATCHED, over
from .register import Entry, Register
from .settings import Config, terms_of
from .shared import Slots

if TYPE_CHECKING:
    import click

log = logging.getLogger("secureml.theft_guard")


class TheftGuard(Plugin):
    """Judges what each client asks against what the model's card calls usual."""

    name = "theft_guard"
    schema = Config
    # How sure the model was is one of the tests, and output_rules takes it away.
    runs_before = ("output_rules",)
    problems = (
        Kind("theft_guard.throttled", 429, "Too many new questions; ask again later"),
        Kind("theft_guard.budget", 429, "This client has asked all that it may for now"),
        Kind("theft_guard.held", 403, "This client is held until an operator lifts it"),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        draw = random.SystemRandom().randint
        every = {kind: terms_of(config, kind, draw) for kind in (CLIENT, BLOCK, ALL)}
        self._terms, self._coarse, self._now = every, config["coarse"], host.now
        self._exempt = frozenset(config["exempt"])
        sizes = {CLIENT: config["clients"], BLOCK: config["clients"], ALL: 16}
        self._slots = Slots(host.instance / config["file"], sizes)
        self._guard = Guard(self._slots, every, host.now)
        self._register = Register(host.store, host.now)
        self._models, self._host_tell = host.models, host.emit
        # Weak: a model that was swapped out must not live on here.
        self._scales: WeakKeyDictionary[ModelHandle, Scale | None] = WeakKeyDictionary()

    def validate(self, exchange: Exchange) -> None:
        """Raise Problem where the caller is held, throttled, or has spent its budget."""
        if exchange.model is None or exchange.policy is None or exchange.policy.body is None:
            return
        try:
            for party in parties(_client(exchange), exchange.client_address, exchange.model.name):
                self._refuse(party)
        except StoreUnavailable as error:
            # Who is held cannot be asked, so nobody is let in.
            raise Problem("unavailable", reason="theft_guard.store") from error
        except OSError as error:
            raise Problem("unavailable", reason="theft_guard.file") from error

    def _refuse(self, party: Party) -> None:
        if party.kind == ALL:
            return
        entry = self._register.standing(party.kind, party.name, party.model)
        slot = self._slots.peek(party.kind, party.slot)
        if entry is not None and slot is not None and float(slot["since"]) < entry.lifted:
            self._guard.forgive(party)
            return
        if party.kind == CLIENT and party.name in self._exempt:
            return
        if entry is not None and entry.level == HOLD:
            raise Problem("theft_guard.held", reason=f"theft_guard.held:{party.kind}")
        if slot is None:
            return
        terms, now = self._terms[party.kind], self._now()
        self._wait("theft_guard.throttled", float(slot["until"]) - now)
        self._wait("theft_guard.budget", over(slot, terms, now))

    def _wait(self, code: str, seconds: float) -> None:
        if seconds > 0:
            raise Problem(code, reason=code, headers={"Retry-After": str(int(seconds) + 1)})

    def shape(self, exchange: Exchange, result: Result) -> Result:
        """Judge the rows with their answer; return the answer, coarser where that is due.

        Raises Problem where these very rows brought a party to be throttled or held: what a
        batch may not have row by row, it may not have at once.
        """
        model, payload = exchange.model, exchange.payload
        if model is None or payload is None or "instances" not in payload:
            return result
        scale = self._scale_of(model)
        asked = _asked(exchange.read_rows(), result, self._slots.key)
        client = _client(exchange)
        free, coarse = client in self._exempt, False
        findings: Findings = []
        stopped: Standing | None = None
        for party in parties(client, exchange.client_address, model.name):
            if party.kind == CLIENT:
                found, findings = self._guard.judge(party, asked, scale)
            elif scale is not None:
                found = self._guard.share(party, client, len(asked), findings)
            for level in found.moved:
                if not free or level in (FLAG, WATCHED):
                    self._tell(exchange, found, level)
            if found.level and not free:
                coarse |= COARSEN in self._terms[party.kind].ladder[: found.level + 1]
                stopped = stopped or (found if {THROTTLE, HOLD} & {*found.moved} else None)
        if stopped is not None:
            self._stop(stopped)
        return self._less(result) if coarse else result

    def _stop(self, found: Standing) -> None:
        if HOLD in found.moved:
            raise Problem("theft_guard.held", reason=f"theft_guard.held:{found.party.kind}")
        slot = self._slots.peek(found.party.kind, found.party.slot)
        if slot is not None:
            self._wait("theft_guard.throttled", float(slot["until"]) - self._now())

    def _less(self, result: Result) -> Result:
        return replace(result, probabilities=coarser(result.probabilities, self._coarse))

    def _scale_of(self, model: ModelHandle) -> Scale | None:
        if model in self._scales:
            return self._scales[model]
        known = model.card.reference
        if known is None:
            log.warning(
                "%s was sealed without a table: theft_guard keeps its budget and no more; "
                "seal it again with --data",
                model.name,
            )
        scale = None if known is None else Scale(Typicality(model.card, known))
        self._scales[model] = scale
        return scale

    def _tell(self, exchange: Exchange, found: Standing, level: str) -> None:
        party, why = found.party, ",".join(found.reasons)
        exchange.add_event(
            f"model_theft_{'cleared' if level == WATCHED else level}",
            party=f"{party.kind}:{party.name}",
            model=party.model,
            score=round(found.score, 1),
            rows=found.rows,
            why=why,
        )
        now = self._now()
        entry = Entry(
            party.kind, party.name, party.model, level, now, found.score, found.rows, why, 0.0
        )
        self._register.put(entry)

    def measures(self) -> list[Measure]:
        """Return how many parties stand at each level."""
        levels = [entry.level for entry in self._register.every()]
        return [
            Measure(
                "theft_guard_parties", levels.count(level), "Parties at a level.", {"level": level}
            )
            for level in self._terms[CLIENT].ladder[1:]
        ]

    def ready(self) -> str | None:
        """Return a word when the shared memory cannot be used."""
        try:
            self._slots.peek(ALL, "")
        except OSError:
            return "theft_guard_file"
        return None

    def commands(self) -> click.Group:
        """Return `secureml theft-guard ...`."""
        from .cli import Counter, group

        counter = Counter(self._register, self._slots, self._terms[CLIENT], self._now)
        return group(counter, self._host_tell)

    def close(self) -> None:
        """Let go of the shared memory."""
        self._slots.close()


def _client(exchange: Exchange) -> str:
    return exchange.principal.client if exchange.principal else "anonymous"


def _asked(rows: Any, result: Result, key: bytes) -> Asked:
    places = {label: place for place, label in enumerate(result.classes or ())}
    labels = np.array([places.get(answer, 0) for answer in result.predictions], dtype=np.intp)
    return Asked(rows, margins(result.probabilities), labels, digests(rows, key))
