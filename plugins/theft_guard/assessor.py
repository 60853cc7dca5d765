"""One batch assessed with all its subjects: the client, its address block, and everyone together.

What each of some colluding clients sends may look like little; their evidence is added up for
their block and for the model. A block counts only while several clients are seen in it, else it
says what the client says. Everyone together is only ever flagged: a crowd cannot be held for
one of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, Protocol

from secureml.kit.networks import network_prefix

from .batch import QueryBatch
from .binning import Binner
from .client_state import ClientState
from .cusum import Bins, advance, reasons, score
from .escalation import HOLD, THROTTLE, Policy, reset, spend_budget, update_level
from .neighbours import CHUNK

Findings = list[Bins]
CLIENT, BLOCK, ALL = "client", "block", "all"
EVERYONE = "*"


class Table(Protocol):
    """Records by subject, see `shared_table`."""

    def locked(self, kind: str, name: str, now: float) -> AbstractContextManager[ClientState]: ...


class Subject(NamedTuple):
    """A client, an address block or everyone, whose rows for one model are judged together."""

    kind: str
    name: str
    model: str

    @property
    def key(self) -> str:
        """The name of its record; a model's name holds no space."""
        return f"{self.model} {self.name}"


class Assessment(NamedTuple):
    """A subject after a batch; ``new_levels`` names those it came to, with score and reasons."""

    subject: Subject
    level: int
    score: float
    rows: int
    reasons: tuple[str, ...]
    new_levels: tuple[str, ...]


def subjects_of(client: str, address: str, model: str) -> Iterator[Subject]:
    """Yield whom a request is judged with, the client first."""
    yield Subject(CLIENT, client, model)
    if address:
        yield Subject(BLOCK, network_prefix(address), model)
    yield Subject(ALL, EVERYONE, model)


class Assessor:
    """Assesses batches; its state is in the table, so that any worker may do so."""

    def __init__(self, table: Table, policies: dict[str, Policy], now: Callable[[], float]) -> None:
        self._table, self._policies, self._now = table, policies, now

    def assess(
        self, subject: Subject, queries: QueryBatch, binner: Binner | None
    ) -> tuple[Assessment, Findings]:
        """Assess a batch against what the client sent before; without a binner count its rows."""
        policy, now = self._policies[subject.kind], self._now()
        with self._table.locked(subject.kind, subject.key, now) as state:
            findings, new = [], 0
            for first in range(0, len(queries), CHUNK):
                part = queries if len(queries) <= CHUNK else _chunk(queries, first)
                if binner is None:
                    new += sum(map(state.is_new, part.digests))
                elif len(bins := binner.bin_rows(part, state)):
                    findings.append(bins)
                    advance(state, bins, policy.cap)
                    new += len(bins)
            return self._conclude(state, subject, len(queries), new, now), findings

    def assess_group(
        self, subject: Subject, client: str, rows: int, findings: Findings
    ) -> Assessment:
        """Add what was found about a client to the sums of a group that it belongs to."""
        policy, now = self._policies[subject.kind], self._now()
        with self._table.locked(subject.kind, subject.key, now) as state:
            if _has_several_clients(state, client):
                # One client's evidence is the client's own; a block's begins with the second.
                for bins in findings:
                    advance(state, bins, policy.cap)
            return self._conclude(state, subject, rows, sum(map(len, findings)), now)

    def _conclude(
        self, state: ClientState, subject: Subject, rows: int, new: int, now: float
    ) -> Assessment:
        policy, values = self._policies[subject.kind], state.values
        values["rows"][0] += rows
        values["new_rows"][0] += new
        names = update_level(state, policy, now, new)
        if subject.kind == CLIENT:
            spend_budget(state, new, policy, now)
        level, reached = values["level"][0], 0.0
        if new and policy.levels[level] in (THROTTLE, HOLD):
            values["throttled_until"][0] = now + policy.pause * new
        why: tuple[str, ...] = ()
        if names:
            sums = state.record["sums"].copy()
            reached, why = score(sums), tuple(reasons(sums, policy.threshold / 3))
        return Assessment(subject, level, reached, values["rows"][0], why, names)

    def reset(self, subject: Subject) -> None:
        """Forget the evidence against a subject."""
        now = self._now()
        with self._table.locked(subject.kind, subject.key, now) as state:
            reset(state.record, now)


def _chunk(queries: QueryBatch, first: int) -> QueryBatch:
    return queries.part(range(first, min(first + CHUNK, len(queries))))


@lru_cache(4096)
def _bit(client: str) -> int:
    return 1 << blake2b(client.encode(), digest_size=1).digest()[0] % 64


def _has_several_clients(state: ClientState, client: str) -> bool:
    members, bit = state.values["members"], _bit(client)
    members[0] |= bit
    return int(members[0]).bit_count() > 1
