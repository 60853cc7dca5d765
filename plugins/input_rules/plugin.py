"""Input rules: a question the model was not trained for is not asked.

Runs in VALIDATE. The model's signed card says how many columns there are, what they
are called, what they hold, how far training went and which rules rows keep; this plugin
holds requests to it. Values never appear in a refusal, only where they stood and which rule
they broke.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import Card, Exchange, Host, Plugin, Problem
from secureml.kit import fields
from secureml.kit.validation import Fault, InputWarning, invalid_input

from .card_section import RuleSection
from .rule import ACTIONS
from .validation import InputValidator, ValidationPolicy, ValidationReport

if TYPE_CHECKING:
    from secureml import ModelHandle

_DONE = {"clip": "clipped", "flag": "flagged"}


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
    ranges = plain.String(
        load_default="refuse",
        validate=validate.OneOf(ACTIONS),
        metadata={
            "description": "What becomes of a value beyond its range: `refuse`, `clip` it to the "
            "bound, or `flag` it. A card's own `in range` rule goes before."
        },
    )
    text_length = fields.StrictInteger(
        load_default=4096,
        validate=validate.Range(1, 10_000_000),
        metadata={"description": "Most characters of a text feature."},
    )
    long_text = plain.String(
        load_default="refuse",
        validate=validate.OneOf(ACTIONS),
        metadata={"description": "What becomes of a longer one: `refuse`, `clip` or `flag`."},
    )
    control_characters = plain.String(
        load_default="clip",
        validate=validate.OneOf(ACTIONS),
        metadata={
            "description": "What becomes of control characters in a text feature: `clip` takes "
            "them out, `refuse` or `flag`."
        },
    )


class InputRules(Plugin):
    """Holds each request to the card of the model it asks."""

    name = "input_rules"
    concern = "input_rules"
    schema = Config
    card_section = RuleSection()

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._max_rows: int = config["max_rows"]
        self._policy = ValidationPolicy(
            config["range_margin"],
            config["ranges"],
            config["text_length"],
            config["long_text"],
            config["control_characters"],
        )
        # Weak: a model that was swapped out must not live on here.
        self._validators: WeakKeyDictionary[ModelHandle, InputValidator] = WeakKeyDictionary()

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
        report = self._validator_of(model).validate(rows, instances)
        if not report.faults:
            return
        if refused := report.faults.get("refuse"):
            path, rule = refused[0]
            raise invalid_input(refused, f"input_rules.{_kind(rule)}:{path}")
        if report.rows is not rows:
            exchange.replace_rows(report.rows)
        _tell(exchange, report)

    def row_rules(self) -> Callable[[Card], InputValidator]:
        """Return what makes the same rules for rows of files."""
        return partial(InputValidator, policy=self._policy)

    def _validator_of(self, model: ModelHandle) -> InputValidator:
        validator = self._validators.get(model)
        if validator is None:
            validator = self._validators[model] = InputValidator(model.card, self._policy)
        return validator


def _kind(rule: str) -> str:
    return "range" if rule in ("below_minimum", "above_maximum") else rule.partition(":")[0]


def _tell(exchange: Exchange, report: ValidationReport) -> None:
    """Say what was clipped and flagged, to the caller and to the recorders."""
    for action, faults in report.faults.items():
        count, done = report.counts[action], _DONE[action]
        exchange.add_warning([InputWarning(path, rule, done) for path, rule in faults], count)
        exchange.add_event(
            "input_validation_fail",
            action=done,
            count=count,
            rules=",".join(sorted({rule for _, rule in faults})),
        )
