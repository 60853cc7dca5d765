"""Decides what follows from scores: an alert, a hold, a ban.

Anything stronger than an alert waits until the behaviour was unusual several windows in a row:
one odd minute happens to everybody, and a plugin that shuts customers out is switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .blocks import BAN, HOLD, Block
from .window_store import SubjectScore

if TYPE_CHECKING:
    from .baseline import WindowScore

OBSERVE, ALERT = "observe", "alert"
ACTIONS = (OBSERVE, ALERT, HOLD, BAN)
CLIENT, ADDRESS = "client:", "address:"


class Action(NamedTuple):
    """What follows from one window; ``alert`` says that an event is due."""

    score: SubjectScore
    alert: bool
    block: Block | None


class Policy(NamedTuple):
    """What is done about clients and addresses; a ban lasts ``ban_duration`` seconds.

    ``patience`` counts unusual windows in a row.
    """

    client_action: str
    address_action: str
    patience: int
    ban_duration: float

    def action_for(self, subject: str) -> str:
        """Return what is done about a subject."""
        return self.client_action if subject.startswith(CLIENT) else self.address_action


def decide(
    scores: Iterable[tuple[str, float, WindowScore]],
    before: Mapping[str, SubjectScore],
    policy: Policy,
    now: float,
) -> list[Action]:
    """Return what follows from (subject, start, score), in the order of time.

    ``before`` are the latest scores until now; one window follows another whatever lies between.
    """
    known, found = dict(before), []
    for subject, start, window in scores:
        last = known.get(subject)
        streak = (last.streak if last else 0) + 1 if window.unusual else 0
        reasons = [list(reason) for reason in window.reasons]
        score = SubjectScore(subject, start, window.score, streak, reasons)
        known[subject] = score
        action = policy.action_for(subject)
        alert = window.unusual and action != OBSERVE
        found.append(Action(score, alert, _block(score, action, policy, now)))
    return found


def _block(score: SubjectScore, action: str, policy: Policy, now: float) -> Block | None:
    if score.streak < policy.patience or action not in (HOLD, BAN):
        return None
    until = now + policy.ban_duration if action == BAN else None
    return Block(score.subject, action, now, until, describe(score))


def describe(score: SubjectScore) -> str:
    """Return the reasons of a score as people read them."""
    return ", ".join(
        f"{name} {value:.2f} (usually {low:.2f} to {high:.2f})"
        for name, value, low, high in score.reasons
    )[:200]
