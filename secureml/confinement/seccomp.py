"""Install a seccomp filter, and answer what it hands over to the parent.

With a listener (Linux 5.0), a refused call stops in the kernel until the parent has seen its
number and arguments: what was tried is known from the kernel and not from the one who tried it.

Source: seccomp(2), seccomp_unotify(2).
"""

from __future__ import annotations

import ctypes
import fcntl
import struct
from collections.abc import Sequence
from typing import NamedTuple

from . import linux
from .bpf import Instruction

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_NEW_LISTENER = 8
_RECEIVE, _SEND, _IS_VALID = 0xC050_2100, 0xC018_2101, 0x4008_2102
# struct seccomp_notif: id, process, flags, then number, family, address and six arguments.
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=Qqii")


class RefusedCall(NamedTuple):
    """A system call that the filter stopped, as the kernel tells it."""

    cookie: int
    process: int
    number: int
    arch: int
    arguments: tuple[int, ...]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def packed(program: Sequence[Instruction]) -> bytes:
    """Return `struct sock_filter[]`."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def action_is_available(action: int) -> bool:
    """Ask the kernel for one action; raise OSError where it has no seccomp filters."""
    word = ctypes.create_string_buffer(struct.pack("=I", action), 4)
    try:
        linux.syscall("seccomp", _GET_ACTION_AVAIL, 0, linux.address(word))
    except OSError as error:
        if error.errno == 95:  # EOPNOTSUPP: there are filters, without this action
            return False
        raise
    return True


def install(program: Sequence[Instruction], *, listener: bool) -> int | None:
    """Put a filter on this thread and its later ones, for good. Needs no_new_privs.

    Returns the descriptor on which refused calls arrive, if one was asked for. Raises OSError;
    EBUSY means that an outer filter has a listener already.
    """
    raw = ctypes.create_string_buffer(packed(program))
    header = _Program(len(program), linux.address(raw).value)
    flags = _NEW_LISTENER if listener else 0
    result = linux.syscall("seccomp", _SET_MODE_FILTER, flags, linux.address(header))
    return result if listener else None


def receive(listener: int) -> RefusedCall | None:
    """Return the next refused call, or None if the process that made it is gone."""
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except FileNotFoundError:
        return None
    return parse(bytes(buffer))


def parse(notification: bytes) -> RefusedCall:
    """Read `struct seccomp_notif`."""
    cookie, process, _, number, arch, _, *arguments = _NOTIFICATION.unpack(notification)
    return RefusedCall(cookie, process, number & 0xFFFF_FFFF, arch, tuple(arguments))


def still_waits(listener: int, call: RefusedCall) -> bool:
    """Say whether the caller still waits, so that its process id is still its own."""
    try:
        fcntl.ioctl(listener, _IS_VALID, struct.pack("=Q", call.cookie))
    except FileNotFoundError:
        return False
    return True


def answer(listener: int, call: RefusedCall, error: int) -> None:
    """Let the call end with this error; nothing happens if the caller is gone."""
    try:
        fcntl.ioctl(listener, _SEND, _RESPONSE.pack(call.cookie, 0, -error, 0))
    except FileNotFoundError:
        return
