"""What a running process takes, read from /proc: the limits that Linux does not keep by itself."""

from __future__ import annotations

from pathlib import Path

from .limits import LimitName, Limits

_FIELDS = frozenset(("VmHWM", "RssAnon", "RssShmem", "Threads"))


def parse_status(text: str) -> dict[str, int]:
    """Return memory in bytes and the number of threads from the text of /proc/PID/status."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in _FIELDS:
            found[name] = int(value.split()[0]) * (1 if name == "Threads" else 1024)
    return found


class ResourceWatch:
    """Looks at one process again and again, and remembers the most it took.

    Resident data is watched although Linux bounds it: pages that could be shared are not counted
    there. Code of libraries is not data.
    """

    def __init__(self, process: int, limits: Limits, *, folder: Path = Path("/proc")) -> None:
        self._status = folder / str(process) / "status"
        self._limits = limits
        self.peak_memory = 0

    def exceeded(self) -> LimitName | None:
        """Look once, and return which limit is passed."""
        try:
            fields = parse_status(self._status.read_text("ascii", "replace"))
        except (FileNotFoundError, ProcessLookupError):
            return None
        self.peak_memory = max(self.peak_memory, fields.get("VmHWM", 0))
        if fields.get("RssAnon", 0) + fields.get("RssShmem", 0) > self._limits.memory:
            return LimitName.MEMORY
        return LimitName.THREADS if fields.get("Threads", 1) > self._limits.threads else None
