"""Output rules: an answer is no finer than its caller may see.

Runs in SHAPE. Probabilities to the last bit are what a copy of a model is trained from and
what tells whether a row was in its training data, so who needs labels only gets labels only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from marshmallow import Schema, ValidationError, validate, validates_schema
from marshmallow import fields as plain

from secureml import Card, ConfigError, Exchange, Host, Plugin, Result
from secureml.kit import fields

from .fidelity import FULL, LABELS, Fidelity, Shares, coarsen

ANSWERS = ("labels", "probabilities")


class Grant(Schema):
    """The ``[[plugins.output_rules.grants]]`` table: who sees how much; the first that fits."""

    scope = fields.Scope(
        defines=True,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "A scope the caller must have, such as `predict:full`.",
            "example": "predict:full",
        },
    )
    tier = fields.TierName(
        load_default=None,
        allow_none=True,
        metadata={"description": "The tier the caller must be in.", "example": "gold"},
    )
    client = fields.ClientName(
        load_default=None,
        allow_none=True,
        metadata={"description": "The client the caller must be.", "example": "ward-7"},
    )
    model = fields.ModelName(
        load_default=None,
        allow_none=True,
        metadata={"description": "The model that is used.", "example": "iris"},
    )
    answer = plain.String(
        required=True,
        validate=validate.OneOf(ANSWERS),
        metadata={
            "description": "`labels` only, or `probabilities` too.",
            "example": "probabilities",
        },
    )
    top = fields.StrictInteger(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, 1000),
        metadata={
            "description": (
                "Number of probabilities shown for a row, the highest ones; the others are `null`."
            ),
            "example": 3,
        },
    )
    decimals = fields.StrictInteger(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, 15),
        metadata={
            "description": "Decimal places of probabilities and of a regressor's numbers.",
            "example": 2,
        },
    )

    @validates_schema
    def check_top(self, data: Mapping[str, Any], **_: Any) -> None:
        """A number of probabilities without probabilities would look like a promise of some."""
        if data.get("answer") == "labels" and data.get("top") is not None:
            raise ValidationError('top_classes needs level = "probabilities".', "top")


class Config(Schema):
    """The ``[plugins.output_rules]`` table."""

    otherwise = plain.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(ANSWERS),
        metadata={
            "description": (
                "What callers without a matching grant see: `labels` or "
                "`probabilities`. Default: `probabilities` if there are no "
                "grants, else `labels`."
            ),
            "example": "labels",
        },
    )
    decimals = fields.StrictInteger(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, 15),
        metadata={
            "description": ("Decimal places of numbers for every caller, whatever a grant says."),
            "example": 4,
        },
    )
    grants = plain.List(
        plain.Nested(Grant),
        load_default=list,
        metadata={"description": ("Who sees how much; the first that matches the caller counts.")},
    )


class OutputRules(Plugin):
    """Makes each answer as coarse as its caller's first fitting grant says."""

    name = "output_rules"
    concern = "output_rules"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        grants: Sequence[Mapping[str, Any]] = config["grants"]
        self._ceiling: int | None = config["decimals"]
        self._grants = [(_fits(grant), self._fidelity(grant)) for grant in grants]
        otherwise = config["otherwise"] or ("labels" if grants else "probabilities")
        self._otherwise = self._fidelity({"answer": otherwise})
        _check_order(grants)

    def shape(self, exchange: Exchange, result: Result) -> Result:
        """Return the result, equal or coarser."""
        fidelity = self._fidelity_for(exchange)
        if fidelity.full:
            return result
        predictions, probabilities = coarsen(
            result.predictions,
            result.probabilities,
            fidelity,
            # A label may be a number, too, and is not rounded.
            amounts=exchange.model is not None and exchange.model.card.answers_amounts,
        )
        known = [each for each in (result.decimals, fidelity.decimals) if each is not None]
        return replace(
            result,
            predictions=predictions,
            probabilities=probabilities,
            decimals=min(known, default=None),
        )

    def answer_limits(
        self,
    ) -> Callable[[Card, list[Any], Shares | None], tuple[list[Any], Shares | None]]:
        """Return what makes answers in files as coarse as callers without a grant see them."""
        return partial(_limited, self._otherwise)

    def _fidelity_for(self, exchange: Exchange) -> Fidelity:
        for fits, fidelity in self._grants:
            if fits(exchange):
                return fidelity
        return self._otherwise

    def _fidelity(self, grant: Mapping[str, Any]) -> Fidelity:
        found = LABELS if grant["answer"] == "labels" else replace(FULL, top=grant.get("top"))
        wanted = [one for one in (grant.get("decimals"), self._ceiling) if one is not None]
        return replace(found, decimals=min(wanted, default=None))


def _limited(
    fidelity: Fidelity, card: Card, predictions: list[Any], probabilities: Shares | None
) -> tuple[list[Any], Shares | None]:
    if fidelity.full:
        return predictions, probabilities
    return coarsen(predictions, probabilities, fidelity, amounts=card.answers_amounts)


def _fits(grant: Mapping[str, Any]) -> Callable[[Exchange], bool]:
    scope, tier, client, model = (grant[key] for key in ("scope", "tier", "client", "model"))

    def fits(exchange: Exchange) -> bool:
        caller = exchange.principal
        if caller is None:
            return False
        return (
            (scope is None or scope in caller.scopes)
            and (tier is None or tier == caller.tier)
            and (client is None or client == caller.client)
            and (model is None or model == exchange.model_name)
        )

    return fits


def _check_order(grants: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a grant that no caller can reach, because an earlier one asks for nothing."""
    for number, grant in enumerate(grants[:-1]):
        if all(grant[key] is None for key in ("scope", "tier", "client", "model")):
            raise ConfigError(
                "this grant matches every caller, so the grants after it have no effect",
                key=f"grants.{number}",
                fix="put it last, or give it a scope, tier, client or model",
            )
