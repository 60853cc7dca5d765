"""What this system offers to confine work with, found out by confining a child that does nothing.

Asking the kernel would not tell: an outer sandbox may refuse, and may kill the process that asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .limits import Limits
from .plan import LANDLOCK, MECHANISMS, NAMESPACES, SECCOMP, USER, Report
from .run import MINIMUM, Job, run
from .unavailable import ConfinementError, ConfinementUnavailable

_MEANINGS = {
    LANDLOCK: "files: the work reads its own installation and what it is given, and writes nowhere",
    SECCOMP: "system calls: no sockets, no programs, no processes, no way into other processes",
    NAMESPACES: "a network with nothing in it, and a file system that is read-only as a whole",
    USER: "runs as a user who owns no file",
}


@dataclass(frozen=True)
class Capabilities:
    """What is in force in a confined child on this system."""

    report: Report

    def describe(self) -> list[str]:
        """Return a line for each mechanism, in plain words."""
        return [self._line(name) for name in MECHANISMS]

    def _line(self, name: str) -> str:
        if name in self.report.inactive:
            return f"{name}: missing ({self.report.inactive[name]}); {_MEANINGS[name]}"
        version = f" (ABI {self.report.landlock_abi})" if name == LANDLOCK else ""
        named = ""
        if name == SECCOMP and not self.report.has_listener:
            named = "; a refused call is not named, for an outer filter listens or Linux is old"
        return f"{name}{version}: {_MEANINGS[name]}{named}"

    def require(self, minimum: Sequence[str] = MINIMUM, *, switch: str | None = None) -> None:
        """Raise ConfinementUnavailable if one of these is missing; `switch` accepts the risk."""
        inactive = self.report.inactive
        missing = {name: inactive[name] for name in minimum if name in inactive}
        if missing:
            raise ConfinementUnavailable(missing, switch)


def available() -> Capabilities:
    """Return what this system offers. Takes as long as starting Python once."""
    try:
        outcome = run(Job("builtins:repr"), limits=Limits(wall=30.0), required=())
    except (ConfinementError, OSError) as error:
        reason = f"a child could not be started: {error}"
        return Capabilities(Report((), dict.fromkeys(MECHANISMS, reason)))
    return Capabilities(outcome.report)
