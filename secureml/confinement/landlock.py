"""Landlock: the work reads the named paths and nothing else, and writes nowhere.

Landlock is the part of Linux (5.13 and newer) by which a process without any rights takes rights
from itself. What a kernel can restrict grows with its ABI version: moving files (2), truncating
(3), TCP (4), devices (5), signals and abstract Unix sockets (6), Unix sockets by path (9). All that
the running kernel knows is handled; of that, only reading is granted, and only below given paths.
It does not restrict `stat`, `chmod` and their like; the seccomp filter refuses what changes files.

Source: Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from . import linux

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_REMOVE_AND_MAKE = 0x1FF0
_REFER, _TRUNCATE, _IOCTL_DEV, _RESOLVE_UNIX = 1 << 13, 1 << 14, 1 << 15, 1 << 16
_BY_ABI = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV), (9, _RESOLVE_UNIX))
_TCP = 3  # bind and connect
_SCOPES = 3  # abstract Unix sockets and signals
_PATH_BENEATH = 1
_VERSION = 1
_OWN_PROCESS = "/proc/self/"


def file_rights(abi: int) -> int:
    """Return all rights to files that a kernel of this ABI can take away."""
    rights = EXECUTE | WRITE_FILE | READ_FILE | READ_DIR | _REMOVE_AND_MAKE
    for since, right in _BY_ABI:
        if abi >= since:
            rights |= right
    return rights


def ruleset(abi: int) -> bytes:
    """Return `struct landlock_ruleset_attr` with all that this ABI can restrict."""
    if abi < 4:
        return struct.pack("=Q", file_rights(abi))
    if abi < 6:
        return struct.pack("=QQ", file_rights(abi), _TCP)
    return struct.pack("=QQQ", file_rights(abi), _TCP, _SCOPES)


def granted(mode: int) -> int:
    """Return the rights to a readable path, by the mode of its file."""
    if stat.S_ISDIR(mode):
        return EXECUTE | READ_FILE | READ_DIR
    return READ_FILE | (EXECUTE if stat.S_ISREG(mode) else 0)


def abi_version() -> int:
    """Return the ABI version of the running kernel; raise OSError where it has none."""
    return linux.syscall("landlock_create_ruleset", None, 0, _VERSION)


def restrict(readable: Iterable[str]) -> int:
    """Take all rights to files, TCP and signals from this thread, but reading below these paths.

    A path that is not there is passed over. Needs no_new_privs. Returns the ABI version; raises
    OSError where Landlock is missing.
    """
    abi = abi_version()
    attributes = ruleset(abi)
    rules = linux.syscall("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        for path in readable:
            _grant(rules, path)
        linux.syscall("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)
    return abi


def _grant(rules: int, path: str) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        rights = granted(os.fstat(descriptor).st_mode)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor), 12)
        linux.syscall("landlock_add_rule", rules, _PATH_BENEATH, linux.address(rule), 0)
    finally:
        # A file of /proc is made anew when it was forgotten, and is then another one: kept open,
        # it is not forgotten.
        if not path.startswith(_OWN_PROCESS):
            os.close(descriptor)
