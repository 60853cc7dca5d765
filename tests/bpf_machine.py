"""An interpreter of classic BPF, as seccomp runs it, to ask a filter without installing it."""

from __future__ import annotations

import struct

ARCH = 0xC000003E


def data(number, *arguments, arch=ARCH):
    """Return `struct seccomp_data`."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    return struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *[a & (2**64 - 1) for a in padded])


def answer(program, given):
    """Run a program as the kernel does; a jump out of it, or an unknown operation, is an error."""
    accumulator = position = 0
    for _ in range(len(program)):
        code, if_true, if_false, operand = program[position]
        position += 1
        if code == 0x20:
            assert operand % 4 == 0
            (accumulator,) = struct.unpack_from("=I", given, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x06:
            return operand
        else:
            holds = {
                0x15: accumulator == operand,
                0x25: accumulator > operand,
                0x35: accumulator >= operand,
            }[code]
            position += if_true if holds else if_false
    raise AssertionError("the program has no end")
