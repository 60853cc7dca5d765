"""The operations behind the commands: verify, prune, start a new chain. No input or output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import checkpoint, codec, verify
from .chain import Chain
from .chain_types import Head
from .checkpoint_signer import CheckpointSigner
from .head_file import HeadFile, boot_id
from .keyring import Keyring
from .reader import Reader
from .segments import files, first_of, sync_folder


class BrokenChain(Exception):
    """The chain is not as it was written, so nothing is signed."""


@dataclass(frozen=True)
class AuditService:
    """One chain and its keys; ``now`` is seconds since the epoch.

    ``former`` are the keys that sealed before ``key``, the oldest first; ``second`` is the file
    of the chain's head.
    """

    folder: Path
    key: bytes
    chain: Chain
    signer: CheckpointSigner | None
    now: Callable[[], float]
    former: tuple[bytes, ...] = ()
    head_file: Path | None = None

    @property
    def reader(self) -> Reader:
        """A reader from the beginning."""
        return Reader(self.folder)

    def verify(
        self, place: Path | None = None, public: Ed25519PublicKey | None = None
    ) -> tuple[verify.Report, checkpoint.Checkpoint | None]:
        """Verify the chain against its head and the latest checkpoint, where they exist."""
        point, notes = None, []
        # Before the files: while the server writes, they may only be ahead of it.
        head_file = (self._head_file().read(), boot_id()) if self.head_file is not None else None
        if place is None and self.signer is not None and self.signer.place.exists():
            place = self.signer.place
        if public is None and self.signer is not None:
            public = self.signer.public()
        if place is not None and public is not None:
            point, unsigned = checkpoint.latest(place.read_bytes(), public)
            if unsigned:
                notes.append(f"{place.name}: {unsigned} lines are not signed with the public key")
        else:
            notes.append(
                "no checkpoint: an attacker who can also write the head file can remove "
                "the last records"
            )
        report = verify.verify(self.folder, self.key, point, self.former, head_file)
        report.notes += notes
        return report, point

    def sign(self, signer: CheckpointSigner) -> checkpoint.Checkpoint:
        """Sign the last record of a chain that is whole.

        What is signed is what an auditor trusts: a log that was cut must not get a signature
        that agrees with it. Raises BrokenChain, WrongKey, WrongChain, OSError.
        """
        # Before the chain is opened: that would record in it what is missing.
        report, _ = self.verify()
        if report.finding is not None:
            raise BrokenChain(f"broken at record {report.finding.seq}: {report.finding.kind}")
        head = self.chain.head()
        if head.seq < report.last or self.chain.marks().broken is not None:
            raise BrokenChain(f"records after record {head.seq} were removed just now")
        return signer.sign(head)

    def prune(self, older_than: float) -> list[str]:
        """Delete files with only older records (``older_than`` in seconds), after a record of it.

        Returns their names. A crash in between leaves extra files, never a gap.
        """
        before = codec.rfc3339(self.now() - older_than)
        expired = []
        found = files(self.folder)
        for path, following in pairwise(found):
            # The next file's first record was written right after this file's last.
            if self._first_time(following) >= before:
                break
            expired.append(path)
        if not expired:
            return []
        kept = found[len(expired)]
        facts = {"first_kept": first_of(kept), "files": len(expired)}
        self._write({"event": verify.PRUNED, "facts": facts})
        for path in expired:
            path.unlink()
        sync_folder(self.folder)
        return [path.name for path in expired]

    def start_new(self, reason: str) -> Head:
        """Start another chain, sign it, and move the files of this one aside."""
        head = self.chain.start_new(reason)
        if self.signer is not None:
            self.signer.sign(head)
        return head

    def _head_file(self) -> HeadFile:
        return HeadFile(self.head_file or Path(), Keyring(self.key, self.former), boot_id())

    def _first_time(self, path: Path) -> str:
        with path.open("rb") as file:
            found = codec.read(file.readline().rstrip(b"\n"))
        return str(found.fields["time"]) if found else "9"

    def _write(self, fields: dict[str, object]) -> Head:
        head = self.chain.append(fields)
        if self.signer is not None:
            self.signer.sign(head)
        return head
