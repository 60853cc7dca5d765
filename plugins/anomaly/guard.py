"""From verdicts to deeds: who is told of, who is held, who is banned.

An act stronger than an alert waits until the behaviour was unusual several windows in a row:
one odd minute happens to everybody, and a guard that shuts customers out is switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .bars import BAN, HOLD, Bar
from .ledger import Standing

if TYPE_CHECKING:
    from .baseline import ValidationReport

OBSERVE, ALERT = "observe", "alert"
ACTS = (OBSERVE, ALERT, HOLD, BAN)
CLIENT, ADDRESS = "client:", "address:"


class Deed(NamedTuple):
    """What follows from one verdict; ``told`` says that an event is due."""

    standing: Standing
    told: bool
    bar: Bar | None


class Terms(NamedTuple):
    """What is done about clients and about addresses, after how many windows, for how long."""

    client: str
    address: str
    patience: int
    ban_for: float

    def act(self, subject: str) -> str:
        """Return what is done about a subject."""
        return self.client if subject.startswith(CLIENT) else self.address


def deeds(
    verdicts: Iterable[tuple[str, float, ValidationReport]],
    before: Mapping[str, Standing],
    terms: Terms,
    now: float,
) -> list[Deed]:
    """Return what follows from (subject, start, verdict), in the order of time.

    ``before`` are the standings until now; one window follows another whatever lies between.
    """
    known, found = dict(before), []
    for subject, start, verdict in verdicts:
        last = known.get(subject)
        streak = (last.streak if last else 0) + 1 if verdict.unusual else 0
        reasons = [list(reason) for reason in verdict.reasons]
        standing = Standing(subject, start, verdict.score, streak, reasons)
        known[subject] = standing
        act = terms.act(subject)
        told = verdict.unusual and act != OBSERVE
        found.append(Deed(standing, told, _bar(standing, act, terms, now)))
    return found


def _bar(standing: Standing, act: str, terms: Terms, now: float) -> Bar | None:
    if standing.streak < terms.patience or act not in (HOLD, BAN):
        return None
    until = now + terms.ban_for if act == BAN else None
    return Bar(standing.subject, act, now, until, words(standing))


def words(standing: Standing) -> str:
    """Return the reasons of a standing as people read them."""
    return ", ".join(
        f"{name} {value:.2f} (usually {low:.2f} to {high:.2f})"
        for name, value, low, high in standing.reasons
    )[:200]
