"""The ``[plugins.audit_log]`` table: what an operator can say, and what is taken unsaid."""

from __future__ import annotations

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import fields
from secureml.kit.settings_fields import StrictBoolean

from .durability import WORDS

ALL, REFUSED, NONE = "all", "refused", "none"


class Config(Schema):
    """The ``[plugins.audit_log]`` table."""

    key = fields.SecretRef(
        required=True,
        metadata={
            "description": "The key that seals each record, 32 bytes or more; to change it, "
            "name the one before in `former_keys` and start the server again.",
            "example": "file:keys/audit.key",
        },
    )
    folder = fields.InstancePath(
        load_default="logs/audit",
        writes=fields.Writes(folder=True),
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
    inputs = StrictBoolean(
        load_default=True,
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
        metadata={"description": "How long a record waits for the lock before the answer is 503."},
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
    former_keys = plain.List(
        fields.SecretRef(),
        load_default=list,
        metadata={
            "description": "The keys that sealed the chain before `key` did, the oldest first; "
            "each proves its part for as long as its records are kept."
        },
    )
    checkpoint_key = fields.SecretRef(
        load_default=None,
        metadata={
            "description": "The Ed25519 key, in PEM, that signs checkpoints; none without it.",
            "example": "file:keys/audit-checkpoint.key",
        },
    )
    checkpoint_file = fields.AnyPath(
        load_default="logs/audit-checkpoints.jsonl",
        writes=fields.Writes(),
        metadata={
            "description": "Where checkpoints go; best on another machine's disk. "
            "A relative path is inside the instance folder."
        },
    )
    head_file = fields.InstancePath(
        load_default="store/audit-head",
        writes=fields.Writes(),
        metadata={
            "description": "Where the number and seal of the last record are kept as well, so "
            "that a log whose end was cut off is missed: inside the instance folder, and not "
            "in `folder`."
        },
    )
    checkpoint_interval = fields.Duration(
        load_default=30.0,
        validate=validate.Range(1, 86400),
        metadata={"description": "How long a record may be unsigned while the server runs."},
    )
    checkpoint_every = fields.StrictInteger(
        load_default=1000,
        validate=validate.Range(1, 1_000_000),
        metadata={"description": "Records between two checkpoints."},
    )
    syslog = plain.String(
        load_default="",
        validate=validate.Regexp(r"^$|^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"),
        metadata={
            "description": "A collector that gets each checkpoint by syslog over TLS, as "
            "`host:6514`; none when empty."
        },
    )
    syslog_ca = fields.InstancePath(
        load_default=None,
        metadata={
            "description": "The CA certificates that verify the collector's; else the system's.",
            "example": "tls/collector-ca.pem",
        },
    )
