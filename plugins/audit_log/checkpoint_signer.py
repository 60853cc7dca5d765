"""Signs checkpoints: each so many records, after each interval, and on command.

A checkpoint that cannot be written withholds no answer: the record it would cover is in the
chain already. It is logged, tried again with the next record, and measured as a lag.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from . import checkpoint, codec
from .chain import Chain
from .chain_types import Head, WrongChain, WrongKey
from .syslog import Sender

log = logging.getLogger("secureml.audit_log")
_LINE = 1024  # bytes; more than a checkpoint ever has


class CheckpointSigner:
    """Signs with one key into one file; ``now`` returns seconds since the epoch.

    ``force`` flushes the records first: after a power cut, a checkpoint of lost records would
    look like tampering.
    """

    def __init__(
        self,
        key: Ed25519PrivateKey,
        place: Path,
        every: int,
        now: Callable[[], float],
        sender: Sender | None = None,
        force: Callable[[], object] = lambda: None,
    ) -> None:
        self._key, self.place, self._every, self._now = key, place, every, now
        self._sender, self._force, self._overdue = sender, force, False

    def maybe_sign(self, head: Head) -> None:
        """Sign each ``every`` records. Of all processes the one that wrote the record signs."""
        if head.seq % self._every and not self._overdue:
            return
        self.try_sign(head)

    def try_sign(self, head: Head) -> None:
        """Sign this record; log a failure once and go on."""
        try:
            self.sign(head)
            self._overdue = False
        except OSError as error:
            if not self._overdue:
                log.warning(
                    "no checkpoint of record %d could be written to %s (%s); "
                    "fix: check the folder and its free space",
                    head.seq,
                    self.place,
                    type(error).__name__,
                )
            self._overdue = True

    def sign(self, head: Head) -> checkpoint.Checkpoint:
        """Sign this record as the last one. Raises OSError when it cannot be written."""
        self._force()
        point = checkpoint.Checkpoint(head.seq, head.mac, codec.rfc3339(self._now()), head.chain)
        line_of_it = checkpoint.sign(self._key, point)
        checkpoint.append(self.place, line_of_it)
        if self._sender is not None:
            self._sender.send(line_of_it, point.time)
        return point

    def pending(self) -> int:
        """Return how many checkpoints of this process the collector has not got yet."""
        return self._sender.pending() if self._sender is not None else 0

    def close(self) -> None:
        """Try once more to send what is pending."""
        if self._sender is not None:
            self._sender.close()

    def public(self) -> Ed25519PublicKey:
        """Return the public key."""
        return self._key.public_key()

    def signed_up_to(self) -> int:
        """Return the number of the last record signed, 0 for none."""
        point = self.last()
        return point.seq if point is not None else 0

    def last(self) -> checkpoint.Checkpoint | None:
        """Return the checkpoint that was signed last."""
        try:
            with self.place.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LINE))
                lines = file.read().splitlines()[-1:]
        except OSError:
            return None
        return checkpoint.latest(b"".join(lines), self.public())[0]


log = logging.getLogger("secureml.audit_log")


class CheckpointTimer:
    """A thread of each worker that signs what has been unsigned for ``interval`` seconds.

    Of all workers the first signs; the others see that it is done. So an attacker who truncates
    the log finds only the last moments unsigned. ``now`` returns seconds since the epoch."""

    def __init__(
        self, chain: Chain, signer: CheckpointSigner, interval: float, now: Callable[[], float]
    ) -> None:
        self._chain, self._signer, self._interval, self._now = chain, signer, interval, now
        self._ends = threading.Event()

    def start(self) -> None:
        """Start the thread, in the process that serves."""
        threading.Thread(target=self._run, name="audit-checkpoints", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end, and sign what it would have signed next."""
        self._ends.set()
        self.sign_if_due(0.0)

    def sign_if_due(self, max_age: float) -> None:
        """Sign the last record where the last signature is as old as ``patience``, in seconds."""
        try:
            head = self._chain.head()
        except (OSError, WrongKey, WrongChain) as error:
            log.warning("no checkpoint (%s)", type(error).__name__)
            return
        last = self._signer.last()
        if last is not None and last.chain == head.chain:
            age = self._now() - datetime.fromisoformat(last.time).timestamp()
            # A clock that was set back must not keep us from signing.
            if last.seq >= head.seq or 0 <= age < max_age:
                return
        self._signer.try_sign(head)

    def _run(self) -> None:
        while not self._ends.wait(self._interval):
            self.sign_if_due(self._interval)
