"""One batch through all its parties: the client, its address block, and everyone together.

Colluding clients share a boundary, a region or a chain; what each sends alone may look like
little. A block counts only while several clients are seen in it, else it says what the client
says. Everyone together is only ever flagged: a crowd cannot be held for one of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from typing import Any, Protocol

import numpy as np

from .evidence import CHUNK, Scale, Seen
from .levels import HOLD, THROTTLE, Terms, forgive, settle, spend
from .memory import Memory
from .sequence import advance, reasons, score

CLIENT, BLOCK, ALL = "client", "block", "all"
EVERYONE = "*"


class Table(Protocol):
    """Slots by party, see `shared`."""

    def held(self, kind: str, name: str, now: float) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody whose rows for one model are judged together."""

    kind: str
    name: str
    model: str

    @property
    def slot(self) -> str:
        """The name of its slot; a model's name holds no space."""
        return f"{self.model} {self.name}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a party after a batch; ``moved`` names a level that is new."""

    party: Party
    level: int
    score: float
    rows: int
    reasons: tuple[str, ...]
    moved: str | None
    spent: bool


def parties(client: str, address: str, model: str) -> Iterator[Party]:
    """Yield whom a request is judged with, the client first."""
    yield Party(CLIENT, client, model)
    if address:
        yield Party(BLOCK, block_of(address), model)
    yield Party(ALL, EVERYONE, model)


def block_of(address: str) -> str:
    """Return the /24 of an IPv4 address or the /48 of an IPv6 one; any other text as it is."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    return str(ip_network((found, 24 if found.version == 4 else 48), strict=False))


class Guard:
    """Judges batches; the memory is the table's, so this may stand in any worker."""

    def __init__(self, table: Table, terms: dict[str, Terms], now: Callable[[], float]) -> None:
        self._table, self._terms, self._now = table, terms, now

    def judge(self, party: Party, client: str, seen: Seen, scale: Scale | None) -> Standing:
        """Add a batch to a party's slot; without a scale only the budget is kept."""
        terms, now = self._terms[party.kind], self._now()
        with self._table.held(party.kind, party.slot, now) as slot:
            alone = _alone(slot, party, client)
            before = int(slot["new"])
            for first in range(0, len(seen), CHUNK):
                _learn(slot, seen.part(slice(first, first + CHUNK)), scale, terms)
            if alone:
                # One client's evidence is the client's own; a block's begins with the second.
                slot["sums"] = 0
            new = int(slot["new"]) - before
            slot["rows"] += len(seen)
            moved = settle(slot, terms, now)
            spent = spend(slot, new, terms, now)
            _throttle(slot, terms, new, now)
            sums = slot["sums"].copy()
            return Standing(
                party,
                int(slot["level"]),
                score(sums),
                int(slot["rows"]),
                tuple(reasons(sums, terms.threshold / 3)),
                moved,
                spent,
            )

    def forgive(self, party: Party) -> None:
        """Begin again with a party."""
        now = self._now()
        with self._table.held(party.kind, party.slot, now) as slot:
            forgive(slot, now)


def _learn(slot: Any, seen: Seen, scale: Scale | None, terms: Terms) -> None:
    memory = Memory(slot)
    if scale is None:
        slot["new"] += int(memory.new_among(seen.whole).sum())
        return
    found = scale.judge(seen, memory)
    slot["new"] += len(found)
    if len(found):
        advance(slot, found, terms.cap)


def _alone(slot: Any, party: Party, client: str) -> bool:
    if party.kind == CLIENT:
        return False
    bit = blake2b(client.encode(), digest_size=1).digest()[0] % 64
    slot["members"] = slot["members"] | np.uint64(1 << bit)
    return int(slot["members"]).bit_count() < 2


def _throttle(slot: Any, terms: Terms, new: int, now: float) -> None:
    if terms.ladder[int(slot["level"])] in (THROTTLE, HOLD) and new:
        slot["until"] = now + terms.pause * new
