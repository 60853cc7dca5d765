"""The head of the chain, kept in a second place, so that a tail cut off the log is missed.

A file of five slots of 512 bytes outside the log's folder. Each slot is one sealed line: two
heads, written in turn, so that one that was torn leaves the other; two marks of what is known to
be on the disk, likewise; and the first break that a writer saw, which stays. A head is written
after each record, in place, so a full disk does not stop it.

Guarantees: what is read was sealed with a key of the chain, for this slot. Whoever can write
here and holds a former copy can put that back: against them there are checkpoints, which are kept
on another machine. Knows no Flask and no SecureML.
"""

from __future__ import annotations

import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path

from . import codec
from .keyring import Keyring
from .segments import give

SLOT = 512  # bytes: what a disk writes at once, so a power cut leaves the old one or the new one
HEAD, DISK, BREAK = "head", "disk", "break"
_PLACES = {HEAD: (0, 1), DISK: (2, 3), BREAK: (4, 4)}
_SEAL = b',"seal":"'
_TAIL = len(_SEAL) + 64 + 2
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Mark:
    """A record by its number and seal, the chain it is in, and the boot in which it was marked."""

    seq: int
    mac: str
    chain: str
    boot: str = ""
    key: bytes = b""  # which key of the chain sealed the mark; known of those that were read


@dataclass(frozen=True, slots=True)
class Marks:
    """All that the file says. ``there`` is False where there is no file."""

    exists: bool = False
    head: Mark | None = None
    on_disk: Mark | None = None
    broken: Mark | None = None


def boot_id() -> str:
    """Return the kernel's name for the time since it was started, "" where it has none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


class HeadFile:
    """One such file; ``boot`` is what `boot_id` returns. Used under the lock of the chain.

    Without a path there is no second place: nothing is written, and nothing is known.
    """

    def __init__(self, path: Path | None, keys: Keyring, boot: str) -> None:
        self.exists = path is not None
        path = path or Path(os.devnull)
        self.path, self.boot, self._keyring = path, boot, keys
        self._location = str(path)
        self._handle, self._inode = -1, 0

    def write(
        self, kind: str, key: bytes, seq: int, mac: str, chain: str, *, back: bool = False
    ) -> None:
        """Write a mark, sealed with this key of the chain. Raises OSError.

        ``back`` is for a number that is lower than the last: else the highest is believed.
        """
        if not self.exists:
            return
        places = _PLACES[kind]
        body = (
            f'{{"seq":{seq},"mac":"{mac}","chain":"{chain}","boot":"{self.boot}",'
            f'"key":"{self._keyring.id_of(key)}"'
        ).encode("ascii")
        content = (body + _SEAL + _seal(key, kind, body) + b'"}').ljust(SLOT - 1) + b"\n"
        self._open()
        for place in places if back else (places[seq % 2],):
            if os.pwrite(self._handle, content, SLOT * place) != SLOT:
                raise OSError(f"the head of the chain was not written completely to {self.path}")

    def read(self) -> Marks:
        """Return what is there; raises OSError for a file that cannot be read."""
        if not self.exists:
            return Marks()
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Marks()
        head, on_disk, broken = (self._latest(content, kind) for kind in (HEAD, DISK, BREAK))
        return Marks(exists=True, head=head, on_disk=on_disk, broken=broken)

    def is_in_place(self) -> bool:
        """Tell whether what was written to is still what bears the name."""
        try:
            return self._handle >= 0 and os.stat(self._location).st_ino == self._inode  # noqa: PTH116
        except FileNotFoundError:
            return False

    def force(self) -> None:
        """See that what was written survives a power cut. Raises OSError."""
        if self._handle >= 0:
            os.fdatasync(self._handle)

    def remove(self) -> None:
        """Take the file away: a new chain begins."""
        self.close()
        if self.exists:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def _open(self) -> None:
        if self.is_in_place():
            return
        self.close()
        folder = self.path.parent
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            give(folder, folder.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self.path, flags, 0o600)
        try:
            found = os.fstat(handle)
            if found.st_size == 0:
                # All of it at once: a disk that fills up later has this room already.
                give(handle, folder)
                if os.pwrite(handle, (b" " * (SLOT - 1) + b"\n") * 5, 0) != 5 * SLOT:
                    raise OSError(f"there is no space for {self.path}")
                os.fdatasync(handle)
        except OSError:
            os.close(handle)
            raise
        self._handle, self._inode = handle, found.st_ino

    def _latest(self, content: bytes, kind: str) -> Mark | None:
        slots = (content[SLOT * n : SLOT * (n + 1)].rstrip() for n in _PLACES[kind])
        found = [mark for slot in slots if (mark := self._read(slot, kind)) is not None]
        return max(found, key=lambda mark: mark.seq, default=None)

    def _read(self, slot: bytes, kind: str) -> Mark | None:
        body, seal = slot[:-_TAIL], slot[-_TAIL + len(_SEAL) : -2]
        if slot[-_TAIL : -_TAIL + len(_SEAL)] != _SEAL:
            return None
        try:
            told = json.loads(slot)
            key = self._keyring.named(told["key"])
            if key is None or not hmac.compare_digest(seal, _seal(key, kind, body)):
                return None
            return Mark(int(told["seq"]), str(told["mac"]), told["chain"], told["boot"], key)
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def _seal(key: bytes, kind: str, body: bytes) -> bytes:
    # For this kind alone: what was marked as on the disk is no head.
    return (
        hmac.digest(key, codec.HEAD_DOMAIN + kind.encode() + b"\0" + body, "sha256").hex().encode()
    )
