"""What the parent asks of the launcher, and what the launcher reports before the work begins.

Both travel as JSON: the plan as the launcher's argument, the report in one message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

LANDLOCK, SECCOMP, NAMESPACES, USER = "landlock", "seccomp", "namespaces", "user"
# In the order in which they are told.
MECHANISMS = (LANDLOCK, SECCOMP, NAMESPACES, USER)
# Exit codes of the launcher, above those that a program gives itself.
MEMORY_EXIT, UNCONFINED_EXIT = 113, 114
LARGEST_REPORT = 16_384


class Plan(NamedTuple):
    """How to confine, and what to run then.

    `work` is `package.module:function`; `inputs` and `output` are open descriptors; `packages` are
    folders by the name of the package in them; `user` is whom to become, if anybody.
    """

    work: str
    arguments: tuple[str, ...]
    inputs: Mapping[str, int]
    output: int | None
    control: int
    parent: int
    resources: Mapping[str, tuple[int, int]]
    readable: tuple[str, ...]
    search_path: tuple[str, ...]
    packages: Mapping[str, str]
    mechanisms: tuple[str, ...]
    required: tuple[str, ...]
    user: int | None

    def encode(self) -> str:
        """Return the text that `decode` reads."""
        return json.dumps(self._asdict())

    @classmethod
    def decode(cls, text: str) -> Plan:
        """Read what `encode` wrote."""
        return cls(**json.loads(text))


class Report(NamedTuple):
    """What confines the work: mechanisms in force, and those that are not with the reason."""

    active: tuple[str, ...]
    inactive: Mapping[str, str]
    landlock_abi: int = 0
    has_listener: bool = False

    def encode(self) -> bytes:
        """Return the bytes that `decode` reads."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def decode(cls, message: bytes) -> Report:
        """Read what `encode` wrote."""
        content = json.loads(message)
        return cls(**content | {"active": tuple(content["active"])})
