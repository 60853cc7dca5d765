"""Opening hours: the model answers only at certain hours.

Runs in LIMIT.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, validate

from secureml import Exchange, Host, Kind, Plugin, Problem
from secureml.kit import fields


class Config(Schema):
    """The ``[plugins.opening_hours]`` table."""

    opens = fields.StrictInteger(
        load_default=8,
        validate=validate.Range(0, 23),
        metadata={"description": "First hour of the day, UTC."},
    )
    closes = fields.StrictInteger(
        load_default=18,
        validate=validate.Range(1, 24),
        metadata={"description": "Hour at which it closes, UTC."},
    )


class OpeningHours(Plugin):
    """Refuses requests outside the hours."""

    name = "opening_hours"
    schema = Config
    problems = (Kind("opening_hours.closed", 503, "The service is closed at this hour"),)

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._opens: int = config["opens"]
        self._closes: int = config["closes"]
        self._now = host.now

    def limit(self, exchange: Exchange) -> None:
        """Raise outside the hours; health checks are always answered."""
        if exchange.policy is not None and exchange.policy.health:
            return
        hour = datetime.fromtimestamp(self._now(), UTC).hour
        if not self._opens <= hour < self._closes:
            raise Problem("opening_hours.closed", reason=f"opening_hours.hour:{hour}")
