"""The ``[plugins.theft_guard]`` table, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validate, validates_schema
from marshmallow import fields as plain

from secureml.kit import fields

from .assessor import BLOCK, CLIENT
from .coarsening import LABELS, ROUNDED
from .escalation import ACTIONS, COARSEN, HOLD, THROTTLE, Policy


class Config(Schema):
    """The ``[plugins.theft_guard]`` table."""

    threshold = fields.StrictFloat(
        load_default=12.0,
        validate=validate.Range(3, 100),
        metadata={
            "description": "Score (nats) at which a client is flagged, and again as much for each "
            "action. A customer's rows reach it at most once in e to this many: 12 is 160 000 rows."
        },
    )
    actions = plain.List(
        plain.String(validate=validate.OneOf(ACTIONS)),
        load_default=lambda: [COARSEN, THROTTLE],
        metadata={
            "description": "What follows a flag, one after another: `coarsen` the answers, "
            "`throttle` the client, `hold` it until an operator lifts it. Empty only flags."
        },
    )
    coarsening = plain.String(
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
            "description": "New rows between one action and the next, a random number from half "
            "of it to half as much again: nobody learns where a threshold lies. A request with as "
            "many rows at once does not wait."
        },
    )
    pause = fields.Duration(
        load_default=5.0,
        validate=validate.Range(1, 86_400),
        metadata={"description": "How long a throttled client waits for each new row."},
    )
    budget = fields.StrictInteger(
        load_default=0,
        validate=validate.Range(0, 2**40),
        metadata={
            "description": "Different rows that one client may send to one model in a "
            "`budget_window`; further requests are refused. 0 means no budget."
        },
    )
    budget_window = fields.Duration(
        load_default=30 * 86_400.0,
        validate=validate.Range(60, 3660 * 86_400),
        metadata={"description": "The time after which a budget begins again."},
    )
    exempt_clients = plain.List(
        fields.ClientName(),
        load_default=list,
        metadata={
            "description": "Clients that are flagged and nothing more, because they are known to "
            "vary their own rows."
        },
    )
    max_clients = fields.StrictInteger(
        load_default=256,
        validate=validate.Range(8, 100_000),
        metadata={
            "description": "Records of a client at a model that are kept at once, 83 KiB each, "
            "and as many of address blocks; of more, the one silent longest is forgotten."
        },
    )
    file = fields.InstancePath(
        load_default="store/theft_guard.table",
        writes=fields.Writes(mode=0o600),
        metadata={"description": "The table in shared memory, inside the instance folder."},
    )

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        indexes = [ACTIONS.index(action) for action in data.get("actions", ())]
        if indexes != sorted(set(indexes)):
            raise ValidationError(f"The order is {', '.join(ACTIONS)}, each once.", "actions")


def policy_for(config: Mapping[str, Any], kind: str, randint: Callable[[int, int], int]) -> Policy:
    """Return the policy for one kind of subject; ``randint(low, high)`` includes both ends."""
    actions = tuple(config["actions"])
    # A block may hold innocents, so it is never shut out; everyone together is only flagged.
    allowed = {CLIENT: actions, BLOCK: tuple(a for a in actions if a != HOLD)}.get(kind, ())
    budget = config["budget"] if kind == CLIENT else 0
    return Policy(
        allowed,
        config["threshold"],
        config["delay"],
        config["pause"],
        budget,
        config["budget_window"],
        randint,
    )
