"""Start the launcher: a Python without site packages, in a session of its own, never by a shell."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import readable_paths
from .plan import Plan

_LAUNCHER = Path(__file__).with_name("launcher.py")
_NOBODY = 65534
# One thread for each library, no cache folders, and no processes to count processors with.
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "JOBLIB_MULTIPROCESSING": "0",
    "MALLOC_ARENA_MAX": "2",
}
# Which code OpenBLAS runs on this processor: a fact of the machine.
_PASSED_ON = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of the child."""
    machine = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**_ENVIRONMENT, **machine, **given}


def start(plan: Plan, given: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the child; its standard output and error are one pipe.

    Of our descriptors it has those of the plan alone. Its command line is the plan, which holds
    paths and numbers, and may be read by anybody on this machine.
    """
    output = () if plan.output is None else (plan.output,)
    return subprocess.Popen(  # noqa: S603 - our own Python and launcher, no shell
        [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_LAUNCHER), plan.encode()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=environment(given),
        pass_fds=(plan.control, *plan.inputs.values(), *output),
        start_new_session=True,
        bufsize=0,
    )


def check_input(name: str, descriptor: int) -> None:
    """Raise ValueError unless this is a file or pipe opened for reading alone.

    A socket would be a way out, a folder a way past the list of readable paths, and a file that
    can be written a second result.
    """
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        raise ValueError(f"input {name!r} is neither a file nor a pipe")
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
        raise ValueError(f"input {name!r} can be written; fix: open it for reading alone")


def user_to_become(paths: Sequence[str]) -> int | None:
    """Return `nobody` if we are root and that user could read all that the work must read."""
    if os.geteuid() != 0:
        return None
    program = os.path.realpath(sys.executable)
    return _NOBODY if readable_paths.readable_by_others([program, *paths]) else None
