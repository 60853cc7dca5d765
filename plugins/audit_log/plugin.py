"""Audit log: what happened, in a chain that shows whether anyone has changed it since.

Stands in RECORD and is vital: what cannot be written down is not answered. Hears what
commands tell, so a key issued by hand is in the same chain as the requests made with it.
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import ConfigError, Event, Exchange, Host, Measure, Plugin, fields

from . import checkpoint, record
from .chain import Chain, Terms, WrongKey
from .notary import Notary
from .reader import Reader
from .sync import WORDS
from .syslog import Collector, Sender

if TYPE_CHECKING:
    import click

log = logging.getLogger("secureml.audit_log")
ALL, REFUSED, NONE = "all", "refused", "none"
REFUSALS = "refusals_counted"
LEAST_KEY = 32  # bytes, as long as what it makes (RFC 2104, section 3)


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
            "description": "Whose certificates the collector's is proven by; else the system's.",
            "example": "tls/collector-ca.pem",
        },
    )


class AuditLog(Plugin):
    """Appends a record before the answer leaves."""

    name = "audit_log"
    schema = Config
    vital = True

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._config, self._host = config, host
        self._key, self._former = _key(config["key"], "key", host), _former(config, host)
        terms = Terms(config["rotate"], config["deadline"], config["fsync"])
        self._folder = host.instance / config["folder"]
        self._chain = Chain(self._folder, self._key, host.now, terms, self._former)
        self._reader = Reader(self._folder)
        self._notary = _notary(config, host)
        self._requests: str = config["requests"]
        self._floor: int = config["free_space"]
        inputs = hmac.digest(self._key, b"inputs", "sha256")
        self._inputs = inputs if config["inputs"] else None

    def record(self, exchange: Exchange) -> None:
        """Write down what happened and, where it is asked for, the request itself.

        Whatever is raised here withholds the answer.
        """
        for event in exchange.events_to_record:
            self._append(record.of_event(event, exchange))
        if exchange.counted:
            return  # one of many: `hear` is told their number
        if self._requests == ALL or (self._requests != NONE and record.worth_keeping(exchange)):
            self._append(record.of_exchange(exchange, self._inputs))

    def hear(self, event: Event) -> None:
        """Write down what happened outside a request; raises where it cannot."""
        if event.name == REFUSALS and self._requests == NONE:
            return  # numbers of what nobody wants to have written down
        self._append(record.of_event(event))

    def ready(self) -> str | None:
        """Say that the disk is nearly full, before an answer is withheld for it."""
        try:
            self._chain.head()
            if self._free() < self._floor:
                return "audit_disk_nearly_full"
        except WrongKey:
            return "audit_key_is_another"
        except OSError:
            return "audit_log_unavailable"
        return None

    def measures(self) -> list[Measure]:
        """Return how long the chain is, what the last checkpoint covers, and what space is left."""
        head = self._chain.head()
        found = [
            Measure("audit_records", head.seq, "Records in the chain."),
            Measure("audit_free_bytes", self._free(), "Space left where the chain is."),
            Measure("audit_free_floor_bytes", self._floor, "Space below which we are not ready."),
        ]
        if self._notary is not None:
            behind = head.seq - self._notary.covered()
            found += [
                Measure("audit_unsigned_records", behind, "Records after the last checkpoint."),
                Measure(
                    "audit_waiting_checkpoints", self._notary.waiting(), "Not at the collector yet."
                ),
            ]
        return found

    def commands(self) -> click.Group:
        """Return `secureml audit-log ...`."""
        from .cli import group
        from .desk import Desk

        keys, now = (self._key, self._chain, self._notary), self._host.now
        return group(Desk(self._folder, *keys, now, self._former))

    def work(self, threads: int) -> None:
        """Go on with the current key, where the chain has a former one.

        Done by the server, and not by a command: a server that was started before the settings
        changed could not go on behind it.
        """
        del threads
        try:
            self._chain.renew()
        except OSError as error:
            # As any record that cannot be written: answers are withheld, the server starts.
            log.warning("the chain goes on with a former key (%s)", type(error).__name__)

    def recall(self, after: int) -> Iterator[dict[str, Any]]:
        """Return the records after that number, in order."""
        return self._reader.after(after)

    def close(self) -> None:
        """Force what is not yet on the disk, and release the files."""
        if self._notary is not None:
            self._notary.close()
        self._chain.close()

    def _append(self, fields: dict[str, Any]) -> None:
        head = self._chain.append(fields)
        if self._notary is not None:
            self._notary.look(head)

    def _free(self) -> int:
        space = os.statvfs(self._folder)
        return space.f_bavail * space.f_frsize


def _key(source: Any, name: str, host: Host) -> bytes:
    try:
        key: bytes = source.read(host.instance).reveal()
    except ConfigError as error:
        raise ConfigError(error.message, key=name, fix=error.fix, file=error.file) from None
    if len(key) < LEAST_KEY:
        raise ConfigError(
            f"a key of {len(key)} bytes is too short",
            key=name,
            fix="openssl rand -hex 32 > instance/keys/audit.key",
        )
    return key


def _former(config: Mapping[str, Any], host: Host) -> tuple[bytes, ...]:
    return tuple(_key(source, "former_keys", host) for source in config["former_keys"])


def _notary(config: Mapping[str, Any], host: Host) -> Notary | None:
    source = config["checkpoint_key"]
    if source is None:
        return None
    try:
        key = checkpoint.private_key(source.read(host.instance).reveal())
    except ConfigError as error:
        raise ConfigError(
            error.message, key="checkpoint_key", fix=error.fix, file=error.file
        ) from None
    except checkpoint.NoKey as error:
        raise ConfigError(
            str(error), key="checkpoint_key", fix="openssl genpkey -algorithm ed25519"
        ) from None
    place = host.instance / config["checkpoint_file"]
    return Notary(key, place, config["checkpoint_every"], host.now, _sender(config, host))


def _sender(config: Mapping[str, Any], host: Host) -> Sender | None:
    if not config["syslog"]:
        return None
    name, _, port = config["syslog"].rpartition(":")
    authority = config["syslog_ca"]
    if authority is not None and not (host.instance / authority).is_file():
        raise ConfigError(
            f"{authority} is not there", key="syslog_ca", fix="name a file with certificates in PEM"
        )
    trusted = str(host.instance / authority) if authority is not None else None
    return Sender(Collector(name.strip("[]"), int(port), trusted))
