"""Have a running Gunicorn replaced by a new one that has read settings, models and code anew.

    python deploy/reload_gunicorn.py PID

PID is the master's. It is asked by SIGUSR2 to start a second master, which takes requests from the
same socket and ends the first when its workers serve (deploy/gunicorn.conf.py). This command
waits for that: it exits 0 when the old master is gone and the new one serves, and 1 where no new
one came to serve; then the old one goes on as before.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path

PATIENCE = 110.0  # seconds for all of it; systemd ends this command after TimeoutStartSec
LOOK = 0.1  # seconds between two looks
# A master asked too early (it has taken over itself just now) pays no heed: it is asked again.
AGAIN = 3.0


def successor_of(pid: int) -> int | None:
    """Return the master that another has started, known by what Gunicorn tells it, if any."""
    recorded = f"GUNICORN_PID={pid}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
            if parent == pid and recorded in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except (OSError, ValueError, IndexError):
            continue  # it is another user's, or has ended while we looked
    return None


def replace(pid: int, patience: float = PATIENCE) -> str:
    """Replace a master; return what went wrong, empty when nothing did.

    ``patience`` is in seconds: for the start of the new master, and for the old one to finish its
    requests.
    """
    try:
        old = os.pidfd_open(pid)
    except ProcessLookupError:
        return f"there is no process {pid}; fix: give the pid of Gunicorn's master"
    try:
        return _replace(pid, old, time.monotonic() + patience)
    finally:
        os.close(old)


def _replace(pid: int, old: int, deadline: float) -> str:
    asked, new = float("-inf"), None
    while not _ended(old):
        found, now = successor_of(pid), time.monotonic()
        # One that is gone has failed, unless it is a child no more because the old one has ended.
        if found is None and new is not None and not _ended(old):
            return (
                "the new server ended during its start, and the old one keeps serving; "
                "fix: see its error in the log just above"
            )
        new = found or new
        if now > deadline:
            return _late(pid, new)
        if new is None and now - asked > AGAIN:
            signal.pidfd_send_signal(old, signal.SIGUSR2)
            asked = now
    if new is None or not Path(f"/proc/{new}").exists():
        return f"the server {pid} ended, and no new one was started; fix: start the server again"
    return ""


def _ended(process: int) -> bool:
    """Wait for a moment and tell whether a process, given by its pidfd, has ended."""
    return bool(select.select([process], [], [], LOOK)[0])


def _late(pid: int, new: int | None) -> str:
    if new is None:
        return (
            f"the process {pid} does not start a new server; fix: give the pid of Gunicorn's master"
        )
    return (
        "the new server was not ready in time, and the old one serves until it is; "
        f"fix: wait, or end the new one: kill {new}"
    )


if __name__ == "__main__":
    wrong = replace(int(sys.argv[1]))
    if wrong:
        sys.exit(f"reload: {wrong}")
