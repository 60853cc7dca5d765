"""The ``[plugins.audit_log]`` table: what an operator can say, and what is taken unsaid."""

from __future__ import annotations

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml.kit import fields

from .durability import WORDS

ALL, REFUSED, NONE = "all", "refused", "none"


class Config(Schema):
    """The ``[plugins.audit_log]`` table."""

    key = fields.SecretRef(
        required=True,
        metadata={
            "description": (
                "The key that authenticates each record, 32 bytes or more; to "
                "change it, add the previous one to `former_keys` and restart "
                "the server."
            ),
            "example": "file:keys/audit.key",
        },
    )
    folder = fields.InstancePath(
        load_default="logs/audit",
        writes=fields.Writes(folder=True, mode=0o750),
        metadata={
            "description": ("The folder of the chain, inside the instance folder, on a local disk.")
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
    inputs = fields.StrictBoolean(
        load_default=True,
        metadata={"description": "Whether a record contains a keyed digest of the request's rows."},
    )
    fsync = plain.String(
        load_default="interval",
        validate=validate.OneOf(WORDS),
        metadata={
            "description": (
                "When records are forced to the disk: `always` before the "
                "answer, `interval` within about a second, `never` leaves it "
                "to the system."
            )
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
        metadata={"description": "The size at which the next file is started."},
    )
    free_space = fields.ByteSize(
        load_default=256 * 1024 * 1024,
        validate=validate.Range(1),
        metadata={
            "description": (
                "Free space below which `/readyz` reports not ready; requests are still answered."
            )
        },
    )
    former_keys = plain.List(
        fields.SecretRef(),
        load_default=list,
        metadata={
            "description": (
                "The keys used before `key`, oldest first; keep each as long "
                "as records made with it."
            )
        },
    )
    checkpoint_key = fields.SecretRef(
        load_default=None,
        metadata={
            "description": (
                "The Ed25519 key, in PEM, that signs checkpoints; without it there are none."
            ),
            "example": "file:keys/audit-checkpoint.key",
        },
    )
    checkpoint_file = fields.AnyPath(
        load_default="logs/audit-checkpoints.jsonl",
        writes=fields.Writes(),
        metadata={
            "description": (
                "The file of the checkpoints, best on another machine's "
                "disk. A relative path is inside the instance folder."
            )
        },
    )
    head_file = fields.InstancePath(
        load_default="store/audit-head",
        writes=fields.Writes(mode=0o600),
        metadata={
            "description": (
                "A second copy of the number and MAC of the last record, "
                "which reveals that the end of the log was removed: inside "
                "the instance folder, but not in `folder`."
            )
        },
    )
    checkpoint_interval = fields.Duration(
        load_default=30.0,
        validate=validate.Range(1, 86400),
        metadata={
            "description": ("The longest time a record stays unsigned while the server runs.")
        },
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
            "description": (
                "A collector that receives each checkpoint by syslog over "
                "TLS, such as `host:6514`; empty for none."
            )
        },
    )
    syslog_ca = fields.InstancePath(
        load_default=None,
        metadata={
            "description": (
                "The CA certificates that verify the collector's; empty for the system's."
            ),
            "example": "tls/collector-ca.pem",
        },
    )
