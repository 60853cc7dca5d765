"""No test reaches beyond this machine: Python itself refuses it, in a test, a fixture or a fork.

pytest-socket refuses ``connect`` while a test runs. Here is the rest: ``connect_ex``, datagrams,
looking up names, and whatever is done while tests are collected and fixtures are made or ended.
An audit hook sees all of it and cannot be taken away again; what a fork inherits, it refuses too.

Other programs know nothing of it. So the whole suite can be run where there is no way out:

    script/test --isolated      # python tests/loopback.py -m pytest, in a namespace of its own
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
import sys
from typing import Any

# In order; whoever looks asks what was added since.
REFUSED: list[str] = []
_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_UNSPECIFIED = frozenset({"0.0.0.0", "::"})  # of the sender: this very machine
_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})  # an address is itself
_SENDING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


class BeyondLoopback(RuntimeError):
    """A test reached for another machine; no OSError, which would pass for a network that fails."""


def stays_here(host: Any) -> bool:
    """Tell whether a host is this machine's loopback; names are known, never looked up."""
    if host is None:
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    if text in ("", *_UNSPECIFIED) or text.lower() in _NAMES or text.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_address(host: Any) -> bool:
    """Tell whether a host is an address already, for which nobody is asked."""
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return False
    return True


def refuse(event: str, details: tuple[Any, ...]) -> None:
    """Raise BeyondLoopback where an audit event is a reach for another machine, and note it."""
    if event == "socket.gethostbyaddr" or (event in _LOOKUPS and not is_address(details[0])):
        host = details[0]
    elif event in _SENDING:
        sock, address = details[:2]
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return  # a unix socket, or one that is connected already
        host = address[0]
    else:
        return
    if not stays_here(host):
        REFUSED.append(f"{event} {host}")
        raise BeyondLoopback(f"{event}: a test reached for {host!r}, beyond loopback")


def raise_loopback() -> None:
    """Bring the loopback device up: in a new namespace it is there, but down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


if __name__ == "__main__":
    raise_loopback()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
