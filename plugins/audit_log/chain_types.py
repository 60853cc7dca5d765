"""Events about the chain itself, its errors, head and options. Knows no Flask, no SecureML."""

from __future__ import annotations

from dataclasses import dataclass

OPENED, CLOSED, TORN, TRUNCATED = (
    "audit_file_opened",
    "audit_file_closed",
    "audit_line_torn",
    "audit_chain_truncated",
)
# The head file is gone: nobody can tell whether records at the end were removed.
HEAD_LOST = "audit_head_lost"
# A power cut took the last records before they were on the disk.
TAIL_LOST = "audit_tail_lost"
STARTED = "audit_chain_started"
# In the program log: the folder, and the first record about it.
LOG_BROKEN = (
    "the audit log in %s is broken from record %d on; fix: secureml audit-log "
    "verify shows what is missing, secureml audit-log start-new starts another "
    "chain"
)


class WrongKey(RuntimeError):
    """The chain uses a key that is not configured."""


class WrongChain(RuntimeError):
    """The files belong to another chain than the one this instance writes."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last record: its number, its MAC, its event, and the name of its chain."""

    seq: int
    mac: str
    event: str = ""
    chain: str = ""


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """``rotate`` is the size of a file in bytes, ``deadline`` the wait for others in seconds."""

    rotate: int = 64 * 1024 * 1024
    deadline: float = 2.0
    fsync: str = "interval"
