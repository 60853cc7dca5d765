"""The ``[plugins.audit_log]`` table."""

from __future__ import annotations

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import fields

from .sync import WORDS

ALL, REFUSED, NONE = "all", "refused", "none"


class Config(Schema):
    """What an operator can say about the audit log."""

    key = fields.SecretRef(
        required=True,
        metadata={
            "description": "The key that seals each record, 32 bytes or more; "
            "a chain is written with one key.",
            "example": "file:keys/audit.key",
        },
    )
    folder = fields.InstancePath(
        load_default="logs/audit",
        metadata={
            "description": "Where the chain is, inside the instance folder, on a local disk."
        },
    )
    requests = plain.String(
        load_default=REFUSED,
        validate=validate.OneOf((ALL, REFUSED, NONE)),
        metadata={
            "description": "Which requests get a record: `all`; `refused`, those that were refused "
            "or failed; or `none`. Security events are always written."
        },
    )
    inputs = plain.Boolean(
        load_default=True,
        truthy={True},
        falsy={False},
        metadata={"description": "Whether a record holds a keyed digest of the rows asked about."},
    )
    fsync = plain.String(
        load_default="interval",
        validate=validate.OneOf(WORDS),
        metadata={
            "description": "When records are forced to the disk: `always` before the answer, "
            "`interval` within about a second, `never` by us."
        },
    )
    deadline = fields.Duration(
        load_default=2.0,
        validate=validate.Range(0.001, 60),
        metadata={"description": "How long a record waits for its turn before the answer is 503."},
    )
    rotate = fields.ByteSize(
        load_default=64 * 1024 * 1024,
        validate=validate.Range(64 * 1024, 4 * 1024**3),
        metadata={"description": "The size at which the next file is begun."},
    )
    free_space = fields.ByteSize(
        load_default=256 * 1024 * 1024,
        validate=validate.Range(1),
        metadata={"description": "Free space below which `/readyz` says so; answers go on."},
    )
    checkpoint_key = fields.SecretRef(
        load_default=None,
        metadata={
            "description": "The Ed25519 key, in PEM, that signs checkpoints; none without it.",
            "example": "file:keys/audit-checkpoint.key",
        },
    )
    checkpoint_file = plain.String(
        load_default="logs/audit-checkpoints.jsonl",
        validate=validate.Length(1, 4096),
        metadata={
            "description": "Where checkpoints go; best on another machine's disk. "
            "A relative path is inside the instance folder."
        },
    )
    checkpoint_every = fields.StrictInteger(
        load_default=1000,
        validate=validate.Range(1, 1_000_000),
        metadata={"description": "Records between two checkpoints."},
    )
