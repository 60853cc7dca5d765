"""Structures that are handed to the kernel and read from it."""

from __future__ import annotations

import struct

from secureml.confinement import seccomp
from secureml.confinement.bpf import ALLOW, NOTIFY, RETURN, Instruction


def test_an_instruction_takes_eight_bytes():
    assert seccomp.packed([Instruction(RETURN, 1, 2, ALLOW)]) == struct.pack(
        "=HBBI", RETURN, 1, 2, ALLOW
    )


def test_a_notification_is_read_as_the_kernel_lays_it_out():
    raw = struct.pack("=QIIiIQ6Q", 7, 1234, 0, 41, 0xC000003E, 99, 2, 1, 0, 0, 0, 0)
    assert len(raw) == 80
    call = seccomp.parse(raw)
    assert call == (7, 1234, 41, 0xC000003E, (2, 1, 0, 0, 0, 0))


def test_a_number_of_32_bits_is_not_negative():
    raw = struct.pack("=QIIiIQ6Q", 7, 1, 0, -1, 0, 0, *[0] * 6)
    assert seccomp.parse(raw).number == 0xFFFF_FFFF


def test_this_kernel_is_asked_for_actions():
    assert seccomp.action_is_available(ALLOW)
    assert seccomp.action_is_available(NOTIFY)
    assert not seccomp.action_is_available(0x1234_0000)
