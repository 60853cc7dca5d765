"""What the commands do, without the words: prove, sign, prune."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import checkpoint, line, proof
from .chain import Chain
from .folder import files, first_of, sync_folder
from .head_file import HeadFile, boot_id
from .keys import Keys
from .notary import Notary
from .reader import Reader
from .told import Head


@dataclass(frozen=True)
class Desk:
    """One chain and its keys; ``now`` is seconds since the epoch.

    ``former`` are the keys that sealed before ``key``, the oldest first; ``second`` is the file
    of the chain's head.
    """

    folder: Path
    key: bytes
    chain: Chain
    notary: Notary | None
    now: Callable[[], float]
    former: tuple[bytes, ...] = ()
    second: Path | None = None

    @property
    def reader(self) -> Reader:
        """A reader from the beginning."""
        return Reader(self.folder)

    def verify(
        self, place: Path | None = None, public: Ed25519PublicKey | None = None
    ) -> tuple[proof.Report, checkpoint.Checkpoint | None]:
        """Walk the chain, against its head and the latest checkpoint where there are any."""
        point, notes = None, []
        # Before the files: while the server writes, they may only be ahead of it.
        second = (self._head_file().read(), boot_id()) if self.second is not None else None
        if place is None and self.notary is not None and self.notary.place.exists():
            place = self.notary.place
        if public is None and self.notary is not None:
            public = self.notary.public()
        if place is not None and public is not None:
            point, strange = checkpoint.latest(place.read_bytes(), public)
            if strange:
                notes.append(f"{place.name}: {strange} lines are not signed with this key")
        else:
            notes.append(
                "no checkpoint: who can write the head as well can take records off the end"
            )
        report = proof.verify(self.folder, self.key, point, self.former, second)
        report.notes += notes
        return report, point

    def prune(self, older_than: float) -> list[str]:
        """Delete the files whose every record is older (seconds); say so in the chain first.

        Returns their names. A crash in between leaves files too many, never a gap.
        """
        before = line.rfc3339(self.now() - older_than)
        doomed = []
        found = files(self.folder)
        for path, following in pairwise(found):
            # The next file's first record was written right after this file's last.
            if self._first_time(following) >= before:
                break
            doomed.append(path)
        if not doomed:
            return []
        kept = found[len(doomed)]
        facts = {"first_kept": first_of(kept), "files": len(doomed)}
        self._write({"event": proof.PRUNED, "facts": facts})
        for path in doomed:
            path.unlink()
        sync_folder(self.folder)
        return [path.name for path in doomed]

    def start_new(self, reason: str) -> Head:
        """Begin another chain, sign it, and set the files of this one aside."""
        head = self.chain.start_new(reason)
        if self.notary is not None:
            self.notary.sign(head)
        return head

    def _head_file(self) -> HeadFile:
        return HeadFile(self.second or Path(), Keys(self.key, self.former), boot_id())

    def _first_time(self, path: Path) -> str:
        with path.open("rb") as file:
            found = line.read(file.readline().rstrip(b"\n"))
        return str(found.fields["time"]) if found else "9"

    def _write(self, fields: dict[str, object]) -> Head:
        head = self.chain.append(fields)
        if self.notary is not None:
            self.notary.sign(head)
        return head
