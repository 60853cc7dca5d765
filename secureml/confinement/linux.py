"""System calls that Python has no function for, through the C library.

Each raises OSError as Python's own do. Numbers are from the kernel's headers and the same on
x86-64 and aarch64, where they are not looked up by the name of the call.
"""

from __future__ import annotations

import ctypes
import os
import platform

from .syscall_policy import ARCHITECTURES

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

Argument = int | ctypes.c_void_p | bytes | None


def machine() -> str:
    """Return the processor family; raise OSError (ENOSYS) for one that is not supported."""
    name = platform.machine()
    if name not in ARCHITECTURES:
        raise OSError(38, f"the processor family {name} is not supported")
    return name


def syscall(name: str, *arguments: Argument) -> int:
    """Make a system call by its name."""
    number = ARCHITECTURES[machine()][1][name]
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def prctl(option: int, argument: int = 0) -> int:
    """Call prctl with one argument."""
    return syscall("prctl", option, argument, 0, 0, 0)


def address(buffer: ctypes.Array[ctypes.c_char] | ctypes.Structure) -> ctypes.c_void_p:
    """Return where a buffer begins."""
    return ctypes.cast(ctypes.pointer(buffer), ctypes.c_void_p)
