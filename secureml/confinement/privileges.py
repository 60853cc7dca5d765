"""Give up every privilege: capabilities, the user root, and what could be gained later."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from . import linux

_CAPABILITY_VERSION = 0x2008_0522
_HIGHEST_CAPABILITY = 63


def change_user(user: int) -> None:
    """Become this user and group, for good, without further groups. Raises OSError."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # A change of user hides /proc/self from ourselves; `forbid_gain` hides it again.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)


def drop_bounding_set() -> None:
    """Let no capability come back by a program that has some.

    It takes a capability to do so, which an ordinary user has not; no_new_privs then does the same.
    """
    for capability in range(_HIGHEST_CAPABILITY + 1):
        try:
            linux.prctl(linux.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EPERM):
                break
            raise


def drop_capabilities() -> None:
    """Give up all capabilities, for good."""
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION, 0), 8)
    nothing = ctypes.create_string_buffer(24)
    linux.syscall("capset", linux.address(header), linux.address(nothing))


def forbid_gain() -> None:
    """No set-user-id program and no file capability gives anything from now on.

    And no other process of the same user reads our memory, nor is a core file written.
    """
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)


def end_with_parent(parent: int) -> None:
    """Ask to be killed when the parent's thread ends. Raises OSError if it has ended already.

    A change of user would undo it, so it comes after.
    """
    linux.prctl(linux.PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent:
        raise OSError(errno.ESRCH, "the parent has ended")
