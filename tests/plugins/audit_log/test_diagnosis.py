"""A stump is believed only where the record after it names it."""

from __future__ import annotations

from hashlib import sha256

import pytest

from plugins.audit_log import line
from plugins.audit_log.diagnosis import Spot, is_stump, name

KEY = b"k" * 32


def torn(at: int, stump: bytes, event: str = "audit_line_torn") -> bytes:
    emitted = {"event": event, "at": at, "sha256": sha256(stump).hexdigest()}
    return line.write(KEY, line.GENESIS, 1, "t", line.encode(emitted))[0][:-1]


def test_the_stump_that_is_named_is_one() -> None:
    assert is_stump(b'{"se', 40, [torn(40, b'{"se')])


@pytest.mark.parametrize(
    "following",
    [[], [b"noise audit_line_torn"], [torn(41, b'{"se')], [torn(40, b"other")],
     [torn(40, b'{"se', "audit_line_torn_not")]],
)  # fmt: skip
def test_a_stump_nobody_names_is_none(following: list[bytes]) -> None:
    assert not is_stump(b'{"se', 40, following)


def test_a_last_line_that_does_not_fit_is_called_changed() -> None:
    raw = line.write(b"x" * 32, line.GENESIS, 1, "t", '"event":"a_b"')[0][:-1]
    found = name(Spot("file", 0, (raw,)), KEY, line.GENESIS, 1)
    assert (found.done, found.line, found.seq) == ("changed", 1, 1)
