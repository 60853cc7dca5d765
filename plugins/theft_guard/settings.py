"""The ``[plugins.theft_guard]`` table, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validate, validates_schema
from marshmallow import fields as plain

from secureml import fields

from .coarse import LABELS, ROUNDED
from .guard import BLOCK, CLIENT
from .levels import COARSEN, HOLD, STEPS, THROTTLE, Terms


class Config(Schema):
    """The ``[plugins.theft_guard]`` table."""

    threshold = fields.StrictFloat(
        load_default=12.0,
        validate=validate.Range(3, 100),
        metadata={
            "description": "Score at which a party is flagged, and again as much for each answer. "
            "A customer's rows reach it once in e to this many at the most: 12 is 160 000 rows."
        },
    )
    answers = plain.List(
        plain.String(validate=validate.OneOf(STEPS)),
        load_default=lambda: [COARSEN, THROTTLE],
        metadata={
            "description": "What follows a flag, step by step: `coarsen` the answers, `throttle` "
            "the client, `hold` it until an operator lifts it. Empty only flags."
        },
    )
    coarse = plain.String(
        load_default=LABELS,
        validate=validate.OneOf((LABELS, ROUNDED)),
        metadata={
            "description": "What `coarsen` leaves: `labels` alone, or probabilities `rounded` to "
            "one decimal."
        },
    )
    delay = fields.StrictInteger(
        load_default=40,
        validate=validate.Range(2, 100_000),
        metadata={
            "description": "New rows between one step and the next, drawn between half of it and "
            "half as much again: nobody learns where a threshold lies. A request that brings as "
            "many rows at once does not wait."
        },
    )
    pause = fields.Duration(
        load_default=5.0,
        validate=validate.Range(1, 86_400),
        metadata={"description": "What each new row costs a throttled client in waiting."},
    )
    budget = fields.StrictInteger(
        load_default=0,
        validate=validate.Range(0, 2**40),
        metadata={
            "description": "Different rows one client may ask one model in a `window`; beyond it "
            "answers are refused. 0 is no budget."
        },
    )
    window = fields.Duration(
        load_default=30 * 86_400.0,
        validate=validate.Range(60, 3660 * 86_400),
        metadata={"description": "The span of a budget."},
    )
    exempt = plain.List(
        fields.ClientName(),
        load_default=list,
        metadata={
            "description": "Clients that are flagged and nothing more: those known to vary their "
            "own rows."
        },
    )
    clients = fields.StrictInteger(
        load_default=256,
        validate=validate.Range(8, 100_000),
        metadata={
            "description": "Clients, times models, that are remembered at once, 83 KiB each, as "
            "many address blocks beside; beyond it the one silent longest is forgotten."
        },
    )
    file = fields.InstancePath(
        load_default="store/theft_guard.slots",
        metadata={"description": "The memory all workers share, inside the instance folder."},
    )

    @validates_schema
    def _rising(self, data: dict[str, Any], **_: Any) -> None:
        places = [STEPS.index(answer) for answer in data.get("answers", ())]
        if places != sorted(set(places)):
            raise ValidationError(f"The order is {', '.join(STEPS)}, each once.", "answers")


def terms_of(config: Mapping[str, Any], kind: str, draw: Callable[[int, int], int]) -> Terms:
    """Return what holds for one kind of party; ``draw(low, high)`` includes both ends."""
    answers = tuple(config["answers"])
    # A block may hold innocents, so it is never shut out; everyone together is only flagged.
    allowed = {CLIENT: answers, BLOCK: tuple(a for a in answers if a != HOLD)}.get(kind, ())
    budget = config["budget"] if kind == CLIENT else 0
    return Terms(
        allowed,
        config["threshold"],
        config["delay"],
        config["pause"],
        budget,
        config["window"],
        draw,
    )
