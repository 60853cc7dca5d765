"""How a piece of work ended, and a sentence about it for operators.

A pure module. What is told of refused calls and of limits comes from the kernel and the parent;
the messages come from the work itself, and may say anything.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field

from .limits import LimitName, Limits
from .plan import MEMORY_EXIT, Report

_UNIX, _NETLINK = 1, 16
_PROGRAMS = frozenset({"execve", "execveat"})
_PROCESSES = frozenset({"fork", "vfork", "clone", "clone3"})
_SIGNALS = frozenset(
    ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
)
_OTHER_PROCESSES = frozenset(
    ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "kcmp")
)
_LIMITS = frozenset({"prlimit64", "setrlimit"})
_OPENING = frozenset({"open", "openat", "creat"})
_CHANGING = {
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), "delete"),
    **dict.fromkeys(("mkdir", "mkdirat"), "make the folder"),
    **dict.fromkeys(("mknod", "mknodat"), "make the device or pipe"),
    **dict.fromkeys(("rename", "renameat", "renameat2"), "rename"),
    **dict.fromkeys(("link", "linkat", "symlink", "symlinkat"), "make a link to"),
    **dict.fromkeys(("chmod", "fchmodat", "fchmodat2"), "change the mode of"),
    **dict.fromkeys(("chown", "lchown", "fchownat"), "change the owner of"),
    "truncate": "cut",
}
_SENTENCES = {
    _PROCESSES: "start another process",
    _SIGNALS: "send a signal to another process",
    _OTHER_PROCESSES: "reach into another process",
    _LIMITS: "change its limits",
}
_DENIED = re.compile(r"PermissionError: \[Errno (?:1|13)\] [^:\n]*: '([^'\n]{1,4096})'")


@dataclass(frozen=True)
class Refusal:
    """A system call that was refused, and the path in it where the parent could read it."""

    call: str
    arguments: tuple[int, ...] = ()
    path: str | None = None
    ended: bool = False

    def attempt(self) -> str:
        """Return what was tried, to be read after "tried to"."""
        where = self.path or "a file"
        if self.call == "socket":
            return f"open {_socket_kind(self.arguments[0] & 0xFFFF_FFFF)}"
        if self.call in _PROGRAMS:
            return f"run the program {self.path}" if self.path else "run another program"
        if self.call in _OPENING:
            return f"open {where} for writing"
        if self.call in _CHANGING:
            return f"{_CHANGING[self.call]} {where}"
        described = next((text for calls, text in _SENTENCES.items() if self.call in calls), None)
        return described or f"make {_call_words(self.call)}"


def _call_words(call: str) -> str:
    return call if call.startswith("a call") else f"the system call {call}"


def _socket_kind(family: int) -> str:
    if family == _UNIX:
        return "a Unix socket"
    return "a netlink socket" if family == _NETLINK else "a network socket"


@dataclass(frozen=True)
class Outcome:
    """How the work ended.

    `exit_code` is None where a signal ended it. `messages` is the last part of what it wrote to
    standard output and error, printable. `peak_memory` is bytes that were resident at once, as
    seen in samples; `processor` and `seconds` are the time it took on a processor and in all.
    """

    exit_code: int | None
    signal: str | None
    limit: LimitName | None
    refusals: tuple[Refusal, ...]
    messages: str
    peak_memory: int
    processor: float
    seconds: float
    report: Report
    limits: Limits = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the work ended by itself, within its limits, and was not ended for a refusal.

        Nothing is said of its result: work that is hostile may end well and write anything.
        """
        return self.exit_code == 0 and self.limit is None and not self.ending_refusal

    @property
    def ending_refusal(self) -> Refusal | None:
        """The refused call for which the work was ended."""
        return next((refusal for refusal in self.refusals if refusal.ended), None)

    @property
    def unreadable_path(self) -> str | None:
        """A path that the work says it could not open: its own words, so no proof."""
        found = _DENIED.findall(self.messages)
        return found[-1] if found else None

    def explain(self, subject: str = "the work") -> str:
        """Return one sentence for an operator."""
        if refusal := self.ending_refusal:
            return f"{subject} tried to {refusal.attempt()}"
        if self.limit:
            return f"{subject} {self._excess(self.limit)}"
        return f"{subject} {self._success() if self.ok else self._failure()}"

    def _success(self) -> str:
        if not self.refusals:
            return "ended well"
        return f"ended well, though it was refused to {self.refusals[0].attempt()}"

    def _failure(self) -> str:
        if self.signal == "SIGSYS":
            return "made a system call that is refused"
        if self.refusals:
            return f"tried to {self.refusals[0].attempt()}, and ended without a result"
        if self.unreadable_path:
            return f"tried to open {self.unreadable_path}, which it may not read"
        if self.signal:
            return f"was ended by the signal {self.signal}"
        return f"failed: {self._last_line()}"

    def _last_line(self) -> str:
        lines = self.messages.strip().splitlines()
        return lines[-1] if lines else f"exit code {self.exit_code}"

    def _excess(self, limit: LimitName) -> str:
        mib = 1024**2
        return {
            LimitName.MEMORY: f"needed more memory than {self.limits.memory / mib:.0f} MiB",
            LimitName.PROCESSOR: f"computed for more than {self.limits.processor:g} s",
            LimitName.WALL: f"did not end within {self.limits.wall:g} s",
            LimitName.OUTPUT: f"wrote a result of more than {self.limits.output} bytes",
            LimitName.MESSAGES: f"wrote messages of more than {self.limits.messages} bytes",
            LimitName.THREADS: f"started more than {self.limits.threads} threads",
            LimitName.REFUSALS: f"was refused more than {self.limits.refusals} system calls, "
            + (f"the first to {self.refusals[0].attempt()}" if self.refusals else "no one named"),
        }[limit]


def printable(raw: bytes) -> str:
    """Return text that a terminal can be shown: no control characters but line ends and tabs."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else f"\\x{ord(letter):02x}"
        for letter in text
    )


@dataclass(frozen=True)
class Ending:
    """How a process ended, as its parent knows it: a code, negative for a signal."""

    code: int
    processor: float
    peak_memory: int

    def signal_name(self) -> str | None:
        """Return the name of the signal that ended it."""
        if self.code >= 0:
            return None
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"

    def limit(self, limits: Limits) -> LimitName | None:
        """Return which of the limits that the kernel keeps ended it."""
        overdue = self.code == -signal.SIGKILL and self.processor >= limits.processor
        if overdue or self.code == -signal.SIGXCPU:
            return LimitName.PROCESSOR
        if self.code == -signal.SIGXFSZ:
            return LimitName.OUTPUT
        starved = self.code < 0 and self.peak_memory >= 0.9 * limits.memory
        return LimitName.MEMORY if self.code == MEMORY_EXIT or starved else None
