"""Input rules: a question the model was not trained for is not asked.

Stands in VALIDATE. The model's signed card says how many columns there are, what they
are called, what they hold and how far training went; this plugin holds requests to it.
Values never appear in a refusal, only where they stood and which rule they broke.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from marshmallow import Schema, validate

from secureml import Exchange, Fault, Host, ModelHandle, Plugin, Problem, Ranges, fields


class Config(Schema):
    """The ``[plugins.input_rules]`` table."""

    max_rows = fields.StrictInteger(
        load_default=1000,
        validate=validate.Range(1, 1_000_000),
        metadata={"description": "Most rows one request may hold."},
    )
    range_margin = fields.StrictFloat(
        load_default=0.1,
        validate=validate.Range(0, 1000),
        metadata={
            "description": "How far beyond the range seen in training a value may lie, as a "
            "share of that range."
        },
    )


class InputRules(Plugin):
    """Holds each request to the card of the model it asks."""

    name = "input_rules"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._max_rows: int = config["max_rows"]
        self._margin: float = config["range_margin"]
        # Weak: a model that was swapped out must not live on here.
        self._ranges: WeakKeyDictionary[ModelHandle, Ranges] = WeakKeyDictionary()

    def validate(self, exchange: Exchange) -> None:
        """Raise the Problem that names the faults, at most twenty of them."""
        model, payload = exchange.model, exchange.payload
        if model is None or payload is None or "instances" not in payload:
            return
        instances = payload["instances"]
        # Counted before anything is converted: the refusal must be cheaper than the work.
        if isinstance(instances, list) and len(instances) > self._max_rows:
            raise Problem(
                "too_many_rows",
                reason=f"input_rules.rows:{len(instances)}",
                errors=[Fault("/instances", "max_rows")],
            )
        rows = exchange.read_rows()
        faults = self._ranges_of(model).faults(rows, instances)
        if faults:
            raise Problem(
                "invalid_input",
                reason=f"input_rules.range:{faults[0][0]}",
                errors=[Fault(*fault) for fault in faults],
            )

    def _ranges_of(self, model: ModelHandle) -> Ranges:
        ranges = self._ranges.get(model)
        if ranges is None:
            ranges = self._ranges[model] = Ranges(model.card, self._margin)
        return ranges
