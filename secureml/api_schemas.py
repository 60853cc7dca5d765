"""What the core's own routes answer with, in words a client can generate code from.

Nothing is checked against these while serving: they are the promise, and the live tests hold
the routes to it.
"""

from __future__ import annotations

from marshmallow import Schema, fields, validate


class ModelSummary(Schema):
    """Which version of which model."""

    name = fields.String(required=True)
    version = fields.String(required=True)


class WarningSchema(Schema):
    """A value that breaks a rule which does not refuse: where, which, and what was done."""

    path = fields.String(required=True)
    rule = fields.String(required=True)
    action = fields.String(required=True, validate=validate.OneOf(["clipped", "flagged"]))


class PredictResponse(Schema):
    """One prediction for each instance, in their order."""

    predictions = fields.List(fields.Raw(), required=True)
    probabilities = fields.List(
        fields.List(fields.Float(validate=validate.Range(0, 1), allow_none=True)),
        metadata={
            "description": (
                "One list for each instance, in the order of the classes; null for a withheld one."
            )
        },
    )
    coverage = fields.Float(
        validate=validate.Range(0, 1),
        metadata={
            "description": (
                "The share of rows, like those it was calibrated with, whose true answer is in "
                "its prediction set or interval."
            )
        },
    )
    prediction_sets = fields.List(
        fields.List(fields.Raw(), allow_none=True),
        metadata={
            "description": (
                "Of a classifier: for each instance the classes that may be the true one, with "
                "`coverage`; null where the caller does not see enough probabilities."
            )
        },
    )
    intervals = fields.List(
        fields.List(fields.Float(), validate=validate.Length(equal=2)),
        metadata={
            "description": (
                "Of a regressor: for each instance the lower and upper end between which the "
                "true number is, with `coverage`."
            )
        },
    )
    in_distribution = fields.List(
        fields.Boolean(),
        metadata={
            "description": (
                "For each instance whether it is like the rows that the model was made for; an "
                "answer to one that is not is a guess."
            )
        },
    )
    warnings = fields.List(fields.Nested(WarningSchema))
    warning_count = fields.Integer(
        metadata={"description": ("The number of all, including those not listed.")}
    )
    model = fields.Nested(ModelSummary, required=True)
    id = fields.String(required=True, metadata={"description": ("Identifies the line in the log.")})


class ModelsResponse(Schema):
    """The models this caller may use."""

    models = fields.List(fields.Nested(ModelSummary), required=True)


class VersionSummary(Schema):
    """A version, and whether it is the one that answers who names none."""

    version = fields.String(required=True)
    current = fields.Boolean(required=True)


class VersionsResponse(Schema):
    """The versions of a model that this caller may ask for by number."""

    versions = fields.List(fields.Nested(VersionSummary), required=True)


class FeatureSchema(Schema):
    """One column: what it holds, and how far training went."""

    name = fields.String(required=True)
    dtype = fields.String(
        required=True,
        validate=validate.OneOf(["float", "integer", "category", "text", "boolean", "date"]),
    )
    missing = fields.String(required=True, validate=validate.OneOf(["refuse", "allow"]))
    # marshmallow takes its fields out of the class, and keeps a word of its own there.
    unknown = fields.String(validate=validate.OneOf(["allow"]))  # type: ignore[assignment]
    minimum = fields.Float()
    maximum = fields.Float()
    categories = fields.List(fields.Raw())  # texts, or whole numbers


class ModelResponse(ModelSummary):
    """What a model expects and promises."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf(["classifier", "regressor", "outlier", "cluster"]),
    )
    classes = fields.List(fields.Raw(), required=True, allow_none=True)
    has_probabilities = fields.Boolean(required=True)
    features = fields.List(fields.Nested(FeatureSchema), required=True)
    # What plugins say of it, by their names, such as the rules that rows must keep.
    sections = fields.Dict(keys=fields.String(), values=fields.Dict(keys=fields.String()))


class AliveResponse(Schema):
    """The process answers."""

    status = fields.String(required=True, validate=validate.Equal("alive"))


class ReadyResponse(Schema):
    """Whether requests can be answered now, and if not, words that say why."""

    status = fields.String(required=True, validate=validate.OneOf(["ready", "not_ready"]))
    reasons = fields.List(fields.String())
