"""Audit log: what happened, in a chain that shows whether anyone has changed it since.

Runs in RECORD and is vital: a request that cannot be recorded is not answered. Events of
commands are recorded too, so a key issued by hand is in the same chain as its requests.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secureml import ConfigError, Event, Exchange, Host, Measure, Plugin
from secureml.kit.instance_file import InstanceFile

from . import checkpoint, record
from .chain import Chain
from .chain_types import LOG_BROKEN, ChainOptions, Head, WrongChain, WrongKey
from .checkpoint_signer import CheckpointSigner, CheckpointTimer
from .reader import Reader
from .segments import files
from .settings import ALL, NONE, Config
from .syslog import Collector, Sender

if TYPE_CHECKING:
    import click

log = logging.getLogger("secureml.audit_log")
REFUSALS = "refusals_counted"
LEAST_KEY = 32  # bytes, as long as what it makes (RFC 2104, section 3)


class AuditLog(Plugin):
    """Appends a record before the answer leaves."""

    name = "audit_log"
    concern = "audit_log"
    schema = Config
    vital = True
    instance_files = (
        InstanceFile(
            "keys/audit.key",
            "the key that authenticates audit records",
            make=lambda: secrets.token_hex(32).encode(),
        ),
        InstanceFile(
            "keys/audit-checkpoint.key",
            "the key that signs checkpoints of the audit log",
            make=checkpoint.new_key,
        ),
    )
    verify_command = ("verify",)

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._config, self._host = config, host
        self._key, self._former = _key(config["key"], "key", host), _former(config, host)
        terms = ChainOptions(config["rotate"], config["deadline"], config["fsync"])
        self._folder = host.instance / config["folder"]
        self._head_path = _head_path(config, host)
        self._chain = Chain(self._folder, self._key, host.now, terms, self._former, self._head_path)
        self._reader = Reader(self._folder)
        self._signer = _signer(config, host, self._chain)
        self._serving, self._timer = False, self._make_timer()
        self._requests: str = config["requests"]
        self._floor: int = config["free_space"]
        inputs = hmac.digest(self._key, b"inputs", "sha256")
        self._inputs = inputs if config["inputs"] else None

    def record(self, exchange: Exchange) -> None:
        """Record the events and, with `requests`, the request itself.

        An exception here withholds the answer.
        """
        for event in exchange.events_to_record:
            self._append(record.of_event(event, exchange))
        if exchange.counted:
            return  # `on_event` gets their number
        if self._requests == ALL or (
            self._requests != NONE and record.is_refused_or_failed(exchange)
        ):
            self._append(record.of_exchange(exchange, self._inputs))

    def on_event(self, event: Event) -> None:
        """Record an event from outside a request; raises OSError where it cannot be written.

        An event of a command is signed at once: its process ends before the timer would sign.
        """
        if event.name == REFUSALS and self._requests == NONE:
            return  # numbers of requests that are not recorded
        head = self._append(record.of_event(event))
        if self._signer is not None and not self._serving:
            self._signer.try_sign(head)

    def ready(self) -> str | None:
        """Return why the server is not ready: a broken log, a wrong key, or too little space."""
        try:
            self._chain.head()
            if self._chain.marks().broken is not None:
                return "audit_log_broken"
            if self._free() < self._floor:
                return "audit_disk_nearly_full"
        except WrongKey:
            return "audit_key_mismatch"
        except WrongChain:
            return "audit_chain_mismatch"
        except OSError:
            return "audit_log_unavailable"
        return None

    def measures(self) -> list[Measure]:
        """Return the length of the chain, how far it is signed, and the free space."""
        head = self._chain.head()
        found = [
            Measure("audit_records", head.seq, "Records in the chain."),
            Measure("audit_free_bytes", self._free(), "Free space in the folder of the log."),
            Measure(
                "audit_free_floor_bytes",
                self._floor,
                "Free space below which the server is not ready.",
            ),
            Measure(
                "audit_log_broken",
                float(self._chain.marks().broken is not None),
                "1 where records are missing from the chain, else 0.",
            ),
        ]
        if self._signer is not None:
            behind = head.seq - self._signer.signed_up_to()
            found += [
                Measure("audit_unsigned_records", behind, "Records after the last checkpoint."),
                Measure(
                    "audit_pending_checkpoints", self._signer.pending(), "Checkpoints not yet sent."
                ),
            ]
        return found

    def commands(self) -> click.Group:
        """Return `secureml audit-log ...`."""
        from .cli import group
        from .service import AuditService

        keys, now = (self._key, self._chain, self._signer), self._host.now
        return group(AuditService(self._folder, *keys, now, self._former, self._head_path))

    def start_worker(self, threads: int) -> None:
        """Switch to the current key, where the chain has a former one; start the signing timer.

        Only a server does this: a server that was started before the settings changed could not
        continue the chain if a command switched the key.
        """
        del threads
        self._serving = True
        try:
            self._chain.renew()
        except OSError as error:
            # As for any record that cannot be written: the server starts, answers are withheld.
            log.warning(
                ("the audit log still uses a former key (%s); fix: make its folder writable"),
                type(error).__name__,
            )
        self._log_broken()
        if self._timer is not None:
            self._timer.start()

    def backup_order(self) -> Iterator[Path]:
        """Yield the files to copy while others write, in an order that can be verified.

        Head and checkpoints go first: the copied chain may be ahead of them, never behind. So its
        files are listed when both are copied; by then there may be another one.
        """
        yield self._head_path
        if self._signer is not None:
            yield self._signer.place
        yield from files(self._folder)

    def records(self, after: int) -> Iterator[dict[str, Any]]:
        """Return the records after that number, in order."""
        return self._reader.after(after)

    def close(self) -> None:
        """Sign and flush the last records, and release the files."""
        if self._timer is not None and self._serving:
            self._timer.stop()
        if self._signer is not None:
            self._signer.close()
        self._chain.close()

    def _append(self, fields: dict[str, Any]) -> Head:
        head = self._chain.append(fields)
        if self._signer is not None:
            self._signer.maybe_sign(head)
        return head

    def _make_timer(self) -> CheckpointTimer | None:
        if self._signer is None:
            return None
        interval: float = self._config["checkpoint_interval"]
        return CheckpointTimer(self._chain, self._signer, interval, self._host.now)

    def _log_broken(self) -> None:
        """Log at each start that the log is broken, until a new chain is started."""
        try:
            broken = self._chain.marks().broken
        except OSError as error:
            log.error("the head of the audit log cannot be read (%s)", type(error).__name__)  # noqa: TRY400 - the type says it
            return
        if broken is not None:
            log.error(LOG_BROKEN, self._folder, broken.seq)

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


def _head_path(config: Mapping[str, Any], host: Host) -> Path:
    folder: Path = host.instance / config["folder"]
    path: Path = host.instance / config["head_file"]
    if path.is_relative_to(folder):
        raise ConfigError(
            f"{config['head_file']} is in {config['folder']}, the folder of the log: an "
            "attacker who removes the end of the log could change this copy of its last "
            "record too",
            key="head_file",
            fix="use a file in another folder of the instance, such as store/audit-head",
        )
    return path


def _signer(config: Mapping[str, Any], host: Host, chain: Chain) -> CheckpointSigner | None:
    source = config["checkpoint_key"]
    if source is None:
        return None
    try:
        key = checkpoint.private_key(source.read(host.instance).reveal())
    except ConfigError as error:
        raise ConfigError(
            error.message, key="checkpoint_key", fix=error.fix, file=error.file
        ) from None
    except checkpoint.InvalidKey as error:
        raise ConfigError(
            str(error), key="checkpoint_key", fix="openssl genpkey -algorithm ed25519"
        ) from None
    place = host.instance / config["checkpoint_file"]
    every, sender = config["checkpoint_every"], _sender(config, host)
    return CheckpointSigner(key, place, every, host.now, sender, chain.force)


def _sender(config: Mapping[str, Any], host: Host) -> Sender | None:
    if not config["syslog"]:
        return None
    name, _, port = config["syslog"].rpartition(":")
    authority = config["syslog_ca"]
    if authority is not None and not (host.instance / authority).is_file():
        raise ConfigError(
            f"the file {authority} does not exist",
            key="syslog_ca",
            fix="name a file with certificates in PEM",
        )
    trusted = str(host.instance / authority) if authority is not None else None
    return Sender(Collector(name.strip("[]"), int(port), trusted))
