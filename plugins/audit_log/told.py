"""What a chain tells about itself, and what there is to know of it. Knows no Flask, no SecureML."""

from __future__ import annotations

from dataclasses import dataclass

OPENED, CLOSED, TORN, CUT = (
    "audit_file_opened",
    "audit_file_closed",
    "audit_line_torn",
    "audit_chain_cut",
)
# The head is gone: whether records were taken off the end, nobody can tell any more.
HEAD_LOST = "audit_head_lost"
# The machine went down before the last records were on its disk.
TAIL_LOST = "audit_tail_lost"
BEGUN = "audit_chain_begun"
# In the program log: the folder, and the record that told of it first.
BROKEN = (
    "the audit log in %s is broken since record %d; fix: secureml audit-log verify tells what is "
    "gone, secureml audit-log start-new begins another chain"
)


class WrongKey(RuntimeError):
    """The chain that is there goes on with a key that is not ours."""


class WrongChain(RuntimeError):
    """The files that are there are of another chain than the one this instance writes."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last record: its number, its seal, what it tells, and the name of its chain."""

    seq: int
    mac: str
    event: str = ""
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """``rotate`` is the size of a file in bytes, ``deadline`` the wait for others in seconds."""

    rotate: int = 64 * 1024 * 1024
    deadline: float = 2.0
    fsync: str = "interval"
