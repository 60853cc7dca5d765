"""What the routes read and answer, in words a client can generate code from.

Of a request only the envelope is checked against these: tensors are read by a model's card.
"""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from .datatypes import DATATYPES

_PARAMETERS = {"type": "object"}
_INPUT = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "shape": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {"type": "integer", "minimum": 1},
        },
        "datatype": {"type": "string", "enum": list(DATATYPES)},
        "data": {"type": "array"},
        "parameters": _PARAMETERS,
    },
}
_OUTPUT = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
}


class InferRequest(Schema):
    """The envelope of an inference request."""

    id = fields.String(validate=validate.Length(1, 256))
    parameters = fields.Dict()
    inputs = fields.Raw(
        required=True,
        allow_none=False,
        metadata={"type": "array", "minItems": 1, "items": _INPUT},
    )
    outputs = fields.Raw(allow_none=False, metadata={"type": "array", "items": _OUTPUT})


class TensorAnswer(Schema):
    """One output."""

    name = fields.String(required=True)
    datatype = fields.String(required=True)
    shape = fields.List(fields.Integer(), required=True)
    data = fields.List(fields.Raw(allow_none=True))
    parameters = fields.Dict()


class InferAnswer(Schema):
    """The outputs of a model, and what the caller should know of them."""

    model_name = fields.String(required=True)
    model_version = fields.String(required=True)
    id = fields.String(required=True)
    parameters = fields.Dict(required=True)
    outputs = fields.List(fields.Nested(TensorAnswer), required=True)


class TensorMetadata(Schema):
    """One tensor that a model reads or answers with."""

    name = fields.String(required=True)
    datatype = fields.String(required=True)
    shape = fields.List(fields.Integer(), required=True)


class ModelMetadata(Schema):
    """What a model reads and answers with."""

    name = fields.String(required=True)
    versions = fields.List(fields.String(), required=True)
    platform = fields.String(required=True)
    inputs = fields.List(fields.Nested(TensorMetadata), required=True)
    outputs = fields.List(fields.Nested(TensorMetadata), required=True)


class ServerMetadata(Schema):
    """What the server calls itself, and which extensions it has."""

    name = fields.String(required=True)
    version = fields.String(required=True)
    extensions = fields.List(fields.String(), required=True)


class LiveAnswer(Schema):
    """The process answers."""

    live = fields.Boolean(required=True)


class ReadyAnswer(Schema):
    """Whether requests can be answered now."""

    ready = fields.Boolean(required=True)


class ModelReadyAnswer(ReadyAnswer):
    """Whether a model answers."""

    name = fields.String(required=True)
