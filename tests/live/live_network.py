"""A network of its own: hosts that are namespaces, joined by a bridge, gone with their processes.

Nothing of it is in the namespace of the tests, and no name is taken from the system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from live_servers import end
from live_serving import until

PREFIX = "10.77.0."


class Namespace:
    """A network namespace with loopback, for as long as it is open."""

    def __init__(self) -> None:
        words = ["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"]
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE)
        self.pid = self._process.pid
        if not until(lambda: self._runs(b"sleep") or self._process.poll() is not None):
            self.close()
            pytest.fail("a network namespace did not come to be")
        if self._process.poll() is not None:
            why = f"no network namespace can be made here: {self._errors()}; run it as root"
            pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)

    def _errors(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read().decode().strip()

    def _runs(self, word: bytes) -> bool:
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().startswith(word)
        except (FileNotFoundError, ProcessLookupError):
            return False

    @property
    def inside(self) -> tuple[str, ...]:
        """What is put before a program that shall run in here."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    def ip(self, words: str) -> None:
        """Run the program ``ip`` in here."""
        subprocess.run([*self.inside, "ip", *words.split()], check=True, timeout=30)

    def close(self) -> None:
        """End what holds it open."""
        end(self.pid)
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()


class Network:
    """A bridge, and each member at an address of ours."""

    def __init__(self) -> None:
        if shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin") is None:
            pytest.skip("ip is missing; apt-get install iproute2")
        self._bridge = Namespace()
        self._members: list[Namespace] = []
        self._bridge.ip("link add name lan type bridge")
        self._bridge.ip("link set lan up")

    def close(self) -> None:
        """End every member, and the bridge with them."""
        for member in [*self._members, self._bridge]:
            member.close()

    def join(self, address: str) -> Namespace:
        """Return a new member at an address that begins with PREFIX."""
        member, cable = Namespace(), f"to{address.removeprefix(PREFIX)}"
        self._members.append(member)
        self._bridge.ip(f"link add {cable} type veth peer name eth0 netns {member.pid}")
        self._bridge.ip(f"link set {cable} master lan up")
        member.ip(f"addr add {address}/24 dev eth0")
        member.ip("link set eth0 up")
        return member
