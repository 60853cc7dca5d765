"""Audit log: what happened, in a chain that shows whether anyone has changed it since.

Stands in RECORD and is vital: what cannot be written down is not answered. Hears what
commands tell, so a key issued by hand is in the same chain as the requests made with it.
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secureml import ConfigError, Event, Exchange, Host, Measure, Plugin

from . import checkpoint, record
from .chain import Chain
from .folder import files
from .notary import Notary
from .reader import Reader
from .settings import ALL, NONE, Config
from .syslog import Collector, Sender
from .told import BROKEN, Head, Terms, WrongChain, WrongKey
from .watch import Watch

if TYPE_CHECKING:
    import click

log = logging.getLogger("secureml.audit_log")
REFUSALS = "refusals_counted"
LEAST_KEY = 32  # bytes, as long as what it makes (RFC 2104, section 3)


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
        self._second = _second(config, host)
        self._chain = Chain(self._folder, self._key, host.now, terms, self._former, self._second)
        self._reader = Reader(self._folder)
        self._notary = _notary(config, host, self._chain)
        self._serving, self._watch = False, self._watcher()
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

    def on_event(self, event: Event) -> None:
        """Write down what happened outside a request; raises where it cannot.

        What a command tells is signed at once: its process ends, and nobody may follow.
        """
        if event.name == REFUSALS and self._requests == NONE:
            return  # numbers of what nobody wants to have written down
        head = self._append(record.of_event(event))
        if self._notary is not None and not self._serving:
            self._notary.settle(head)

    def ready(self) -> str | None:
        """Say that the log is broken, or the disk nearly full before answers are withheld."""
        try:
            self._chain.head()
            if self._chain.marks().broken is not None:
                return "audit_log_broken"
            if self._free() < self._floor:
                return "audit_disk_nearly_full"
        except WrongKey:
            return "audit_key_is_another"
        except WrongChain:
            return "audit_chain_is_another"
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
            Measure(
                "audit_log_broken",
                float(self._chain.marks().broken is not None),
                "1 where records are gone from the chain, else 0.",
            ),
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
        return group(Desk(self._folder, *keys, now, self._former, self._second))

    def start_worker(self, threads: int) -> None:
        """Go on with the current key, where the chain has a former one; sign as time passes.

        Done by the server, and not by a command: a server that was started before the settings
        changed could not go on behind it.
        """
        del threads
        self._serving = True
        try:
            self._chain.renew()
        except OSError as error:
            # As any record that cannot be written: answers are withheld, the server starts.
            log.warning("the chain goes on with a former key (%s)", type(error).__name__)
        self._say_broken()
        if self._watch is not None:
            self._watch.begin()

    def backup_order(self) -> list[Path]:
        """Return what must be copied while others write, in the order that keeps it provable.

        What knows of the chain goes first: the chain may then be ahead of it, never behind.
        """
        points = [self._notary.place] if self._notary is not None else []
        return [self._second, *points, *files(self._folder)]

    def records(self, after: int) -> Iterator[dict[str, Any]]:
        """Return the records after that number, in order."""
        return self._reader.after(after)

    def close(self) -> None:
        """Sign and force what is not yet, and release the files."""
        if self._watch is not None and self._serving:
            self._watch.end()
        if self._notary is not None:
            self._notary.close()
        self._chain.close()

    def _append(self, fields: dict[str, Any]) -> Head:
        head = self._chain.append(fields)
        if self._notary is not None:
            self._notary.look(head)
        return head

    def _watcher(self) -> Watch | None:
        if self._notary is None:
            return None
        interval: float = self._config["checkpoint_interval"]
        return Watch(self._chain, self._notary, interval, self._host.now)

    def _say_broken(self) -> None:
        """Have each start say that the log is broken, for as long as it is the same log."""
        try:
            broken = self._chain.marks().broken
        except OSError as error:
            log.error("the head of the audit log cannot be read (%s)", type(error).__name__)  # noqa: TRY400 - the name says it
            return
        if broken is not None:
            log.error(BROKEN, self._folder, broken.seq)

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


def _second(config: Mapping[str, Any], host: Host) -> Path:
    folder: Path = host.instance / config["folder"]
    path: Path = host.instance / config["head_file"]
    if path.is_relative_to(folder):
        raise ConfigError(
            f"{config['head_file']} lies in {config['folder']}, the folder of the log: whoever "
            "can cut the end off the log could change this copy of its last record as well",
            key="head_file",
            fix="name a file in another folder of the instance, such as store/audit-head",
        )
    return path


def _notary(config: Mapping[str, Any], host: Host, chain: Chain) -> Notary | None:
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
    every, sender = config["checkpoint_every"], _sender(config, host)
    return Notary(key, place, every, host.now, sender, chain.force)


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
