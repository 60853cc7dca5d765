"""Who signs checkpoints: every so many records, every so often, and when a command asks.

A checkpoint that cannot be written withholds no answer: the record it would cover is in the
chain already. It is logged, tried again with the next record, and measured as a lag.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from . import checkpoint, line
from .syslog import Sender
from .told import Head

log = logging.getLogger("secureml.audit_log")
_LINE = 1024  # bytes; more than a checkpoint ever has


class Notary:
    """Signs with one key into one file; ``now`` returns seconds since the epoch.

    ``force`` sees that what is signed is on the disk: after a power cut a checkpoint of records
    that are gone would tell of a theft that never was.
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
        self._sender, self._force, self._owed = sender, force, False

    def look(self, head: Head) -> None:
        """Sign when it is time. Of all processes the one that wrote that record does."""
        if head.seq % self._every and not self._owed:
            return
        self.settle(head)

    def settle(self, head: Head) -> None:
        """Sign this record; where it cannot be, say so once and go on."""
        try:
            self.sign(head)
            self._owed = False
        except OSError as error:
            if not self._owed:
                log.warning("no checkpoint of record %d (%s)", head.seq, type(error).__name__)
            self._owed = True

    def sign(self, head: Head) -> checkpoint.Checkpoint:
        """Sign this record as the last one. Raises OSError when it cannot be written."""
        self._force()
        point = checkpoint.Checkpoint(head.seq, head.mac, line.rfc3339(self._now()), head.chain)
        line_of_it = checkpoint.sign(self._key, point)
        checkpoint.append(self.place, line_of_it)
        if self._sender is not None:
            self._sender.send(line_of_it, point.time)
        return point

    def waiting(self) -> int:
        """Return how many checkpoints of this process the collector has not got yet."""
        return self._sender.waiting() if self._sender is not None else 0

    def close(self) -> None:
        """Give what waits for the collector one more chance."""
        if self._sender is not None:
            self._sender.close()

    def public(self) -> Ed25519PublicKey:
        """Return the half that verifies."""
        return self._key.public_key()

    def covered(self) -> int:
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
