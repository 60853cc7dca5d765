"""Memory that all processes of one host share: a file that each of them maps, and locks on it.

The size is settled when the file is made and allocated then, so that a full disk is an error at
the start and not a signal (SIGBUS) in the middle of a request. Locks end with the process that
held them. A forked process maps the file again, with locks of its own.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from weakref import WeakSet

SECRET = 32  # bytes
_MAGIC = b"secureml shared memory 1\n"
_HEADER = mmap.ALLOCATIONGRANULARITY  # the data begins where a mapping can begin
_STRIPES = 64
_ZEROS = bytes(1 << 16)


class Lock:
    """An exclusive lock on one number, against other processes and other threads.

    A class, because a generator takes longer than what it guards. Entering raises OSError.
    """

    __slots__ = ("_file", "_number", "_stripe")

    def __init__(self, file: int, number: int, stripe: threading.Lock) -> None:
        self._file, self._number, self._stripe = file, number, stripe

    def acquire(self) -> None:
        """Wait for the lock; raises OSError."""
        # A file's locks belong to the process, so threads need one of their own.
        self._stripe.acquire()
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._number)
        except BaseException:
            self._stripe.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._number)
        finally:
            self._stripe.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SharedMemory:
    """``size`` bytes in the file ``path``, all zero when it is made; opened at the first use.

    ``layout`` describes what the bytes mean. Another layout or size is another file
    (``path-DIGEST``), because one that is mapped elsewhere must never be cut short; files of
    older layouts are deleted when a new one is made. A file whose header is damaged begins again
    with zeros. What the data itself holds is for the reader to check.
    """

    def __init__(self, path: Path, layout: str, size: int) -> None:
        digest = blake2b(f"{layout} {size}".encode(), digest_size=4).hexdigest()
        self._path, self._stem, self._size = path.with_name(f"{path.name}-{digest}"), path, size
        self._file = -1
        self._reset()
        _instances.add(self)

    def _reset(self) -> None:
        """Forget the mapping and all locks: after a fork another thread's may be held for ever."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._mapped, self._secret = -1, None, b""
        self._opening = threading.Lock()
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]

    _mapped: mmap.mmap | None

    def mapped(self) -> mmap.mmap:
        """Return the memory, the same object until `close` or a fork; raises OSError."""
        mapped = self._mapped
        return self._open() if mapped is None else mapped

    @property
    def secret(self) -> bytes:
        """32 random bytes made with the file: a key for unpredictable digests."""
        self.mapped()
        return self._secret

    def lock(self, number: int) -> Lock:
        """Return the lock of a number from 0 on: `with memory.lock(3): ...`; raises OSError.

        Numbers that are equal modulo 64 exclude one another's threads, so a thread must not hold
        two locks at once.
        """
        self.mapped()
        return Lock(self._file, number + 1, self._stripes[number % _STRIPES])

    def exists(self) -> bool:
        """Tell whether any process has made the file yet."""
        return self._path.exists()

    def close(self) -> None:
        """Close the file; views of the memory that are still in use keep it mapped."""
        with self._opening:
            if self._file >= 0:
                os.close(self._file)
            self._file, self._mapped = -1, None

    def _open(self) -> mmap.mmap:
        with self._opening:
            if self._mapped is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                file = os.open(self._path, flags, 0o600)
                try:
                    self._prepare(file)
                    self._secret = os.pread(file, SECRET, len(_MAGIC))
                    mapped = mmap.mmap(file, self._size, offset=_HEADER)
                except BaseException:
                    os.close(file)
                    raise
                self._file, self._mapped = file, mapped
            return self._mapped

    def _prepare(self, file: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
        try:
            whole = os.pread(file, len(_MAGIC), 0) == _MAGIC
            before = os.fstat(file).st_size
            if before < _HEADER + self._size:
                os.posix_fallocate(file, 0, _HEADER + self._size)
            if not whole:
                self._begin(file, before)
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, 0)

    def _begin(self, file: int, before: int) -> None:
        for old in self._path.parent.glob(f"{self._stem.name}-????????"):
            if old != self._path:
                with suppress(OSError):
                    old.unlink()
        for start in range(0, before, len(_ZEROS)):
            os.pwrite(file, _ZEROS[: before - start], start)
        os.pwrite(file, os.urandom(SECRET), len(_MAGIC))
        os.fsync(file)
        # Last: a file that has the magic bytes is complete.
        os.pwrite(file, _MAGIC, 0)


_instances: WeakSet[SharedMemory] = WeakSet()


def _after_fork() -> None:
    for memory in list(_instances):
        memory._reset()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_after_fork)
