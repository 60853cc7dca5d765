"""One batch through all its parties: the client, its address block, and everyone together.

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
from ipaddress import ip_address, ip_network
from typing import NamedTuple, Protocol

from .asked import Asked
from .beside import CHUNK
from .evidence import Scale
from .levels import HOLD, THROTTLE, Terms, forgive, settle, spend
from .memory import Memory
from .sequence import Bins, advance, reasons, score

Findings = list[Bins]
CLIENT, BLOCK, ALL = "client", "block", "all"
EVERYONE = "*"


class Table(Protocol):
    """Slots by party, see `shared`."""

    def held(self, kind: str, name: str, now: float) -> AbstractContextManager[Memory]: ...


class Party(NamedTuple):
    """Somebody whose rows for one model are judged together."""

    kind: str
    name: str
    model: str

    @property
    def slot(self) -> str:
        """The name of its slot; a model's name holds no space."""
        return f"{self.model} {self.name}"


class Standing(NamedTuple):
    """A party after a batch; ``moved`` names the levels that are new, and the score is of then."""

    party: Party
    level: int
    score: float
    rows: int
    reasons: tuple[str, ...]
    moved: tuple[str, ...]


def parties(client: str, address: str, model: str) -> Iterator[Party]:
    """Yield whom a request is judged with, the client first."""
    yield Party(CLIENT, client, model)
    if address:
        yield Party(BLOCK, block_of(address), model)
    yield Party(ALL, EVERYONE, model)


@lru_cache(4096)
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

    def judge(self, party: Party, asked: Asked, scale: Scale | None) -> tuple[Standing, Findings]:
        """Judge a batch against a client's own memory; without a scale only count its rows."""
        terms, now = self._terms[party.kind], self._now()
        with self._table.held(party.kind, party.slot, now) as memory:
            findings, new = [], 0
            for first in range(0, len(asked), CHUNK):
                part = asked if len(asked) <= CHUNK else _piece(asked, first)
                if scale is None:
                    new += sum(map(memory.is_new, part.marks))
                elif len(found := scale.judge(part, memory)):
                    findings.append(found)
                    advance(memory, found, terms.cap)
                    new += len(found)
            return self._settled(memory, party, len(asked), new, now), findings

    def share(self, party: Party, client: str, rows: int, findings: Findings) -> Standing:
        """Add what was found about a client to those it is among."""
        terms, now = self._terms[party.kind], self._now()
        with self._table.held(party.kind, party.slot, now) as memory:
            if _several(memory, client):
                # One client's evidence is the client's own; a block's begins with the second.
                for found in findings:
                    advance(memory, found, terms.cap)
            return self._settled(memory, party, rows, sum(map(len, findings)), now)

    def _settled(self, memory: Memory, party: Party, rows: int, new: int, now: float) -> Standing:
        terms, one = self._terms[party.kind], memory.one
        one["rows"][0] += rows
        one["new"][0] += new
        moved = settle(memory, terms, now, new)
        if party.kind == CLIENT:
            spend(memory, new, terms, now)
        level, height = one["level"][0], 0.0
        if new and terms.ladder[level] in (THROTTLE, HOLD):
            one["until"][0] = now + terms.pause * new
        why: tuple[str, ...] = ()
        if moved:
            sums = memory.slot["sums"].copy()
            height, why = score(sums), tuple(reasons(sums, terms.threshold / 3))
        return Standing(party, level, height, one["rows"][0], why, moved)

    def forgive(self, party: Party) -> None:
        """Begin again with a party."""
        now = self._now()
        with self._table.held(party.kind, party.slot, now) as memory:
            forgive(memory.slot, now)


def _piece(asked: Asked, first: int) -> Asked:
    return asked.part(range(first, min(first + CHUNK, len(asked))))


@lru_cache(4096)
def _bit(client: str) -> int:
    return 1 << blake2b(client.encode(), digest_size=1).digest()[0] % 64


def _several(memory: Memory, client: str) -> bool:
    members, bit = memory.one["members"], _bit(client)
    members[0] |= bit
    return int(members[0]).bit_count() > 1
