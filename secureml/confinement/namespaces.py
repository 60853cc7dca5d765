"""Namespaces: a network with nothing in it, and a file system that is read-only as a whole.

A second barrier behind seccomp and Landlock, where the system lets an ordinary user have
namespaces; many do not (systemd's RestrictNamespaces, Docker's default profile, Ubuntu's AppArmor).
A namespace of processes is left out: none can be started, and its first process would need a
second one to report how it ended.
"""

from __future__ import annotations

import ctypes
import struct

from . import linux

_NEW_MOUNTS, _NEW_HOST, _NEW_IPC, _NEW_USER, _NEW_NETWORK = (
    0x0002_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x4000_0000,
)  # fmt: skip
_ALL = _NEW_MOUNTS | _NEW_HOST | _NEW_IPC | _NEW_NETWORK
_MS_REC, _MS_PRIVATE = 0x4000, 0x4_0000
_CURRENT_FOLDER, _RECURSIVE = -100, 0x8000
_READ_ONLY, _NO_SETUID = 1, 2


def enter(*, as_user: bool) -> None:
    """Leave the namespaces of the system. Raises OSError.

    `as_user` is the way of an ordinary user: into a user namespace first, whose rights end with
    `drop_capabilities`. No user is mapped there, for nothing is to be owned.
    """
    linux.syscall("unshare", _ALL | (_NEW_USER if as_user else 0))
    linux.syscall("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    attributes = struct.pack("=QQQQ", _READ_ONLY | _NO_SETUID, 0, 0, 0)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    linux.syscall(
        "mount_setattr", _CURRENT_FOLDER, b"/", _RECURSIVE, linux.address(buffer), len(attributes)
    )
