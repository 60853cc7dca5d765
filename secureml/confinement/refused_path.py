"""The path in a refused system call, read from the memory of the process that made it.

For messages alone: the other side may change its memory at any time. Only a parent that may read
the child's memory learns it, so one that runs as root; others name the call without the path.
"""

from __future__ import annotations

import os

# Which argument points to the path.
_FIRST = (
    "open creat execve truncate unlink rmdir mkdir mknod rename link symlink chmod chown lchown"
)
_SECOND = (
    "openat execveat unlinkat mkdirat mknodat renameat renameat2 linkat fchmodat fchmodat2 fchownat"
)
PATH_ARGUMENT = dict.fromkeys(_FIRST.split(), 0) | dict.fromkeys(_SECOND.split(), 1)
_LONGEST, _PAGE = 4096, 4096


def read_path(process: int, call: str, arguments: tuple[int, ...]) -> str | None:
    """Return the path, or None where there is none or it cannot be read."""
    if call not in PATH_ARGUMENT:
        return None
    try:
        memory = os.open(f"/proc/{process}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        raw = _text_at(memory, arguments[PATH_ARGUMENT[call]])
    finally:
        os.close(memory)
    return raw.decode("utf-8", "backslashreplace") if raw else None


def _text_at(memory: int, address: int) -> bytes:
    """Read up to the first zero byte, page by page, for the next page may not be there."""
    found = b""
    while len(found) < _LONGEST:
        try:
            part = os.pread(memory, _PAGE - (address + len(found)) % _PAGE, address + len(found))
        except (OSError, OverflowError):
            return found
        text, end, _ = part.partition(b"\0")
        found += text
        if end or not part:
            return found
    return found
