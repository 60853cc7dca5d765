"""Programs of the classic Berkeley Packet Filter, as seccomp runs them, made from a list of rules.

A pure module: rules in, instructions out. The program loads the processor family, then the number
of the system call, and walks through sorted ranges of numbers; a call that depends on its
arguments has a block of its own that always returns. Linux checks such a program when it is
installed (no loops, no reads out of bounds), and remembers which numbers are always allowed.

Source: Documentation/userspace-api/seccomp_filter.rst and include/uapi/linux/seccomp.h.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# Actions of seccomp; the highest one of several filters wins.
KILL_PROCESS = 0x8000_0000
ERRNO = 0x0005_0000
NOTIFY = 0x7FC0_0000
ALLOW = 0x7FFF_0000

# Where things stand in `struct seccomp_data`.
NUMBER_OFFSET, ARCH_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16
LOAD, AND, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, RETURN = (
    0x20, 0x54, 0x15, 0x25, 0x35, 0x06,
)  # fmt: skip
WHOLE = 0xFFFF_FFFF
# Numbers from here on are those of the x32 ABI, a second way to every call of x86-64.
FIRST_X32 = 0x4000_0000
LARGEST_PROGRAM = 4096


class Instruction(NamedTuple):
    """One `struct sock_filter`: operation, where to jump if true and if false, operand."""

    code: int
    if_true: int
    if_false: int
    operand: int


class ArgumentTest(NamedTuple):
    """Holds if one half of an argument, after `mask`, is one of `values`; `high` is bits 32-63."""

    argument: int
    values: tuple[int, ...]
    mask: int = WHOLE
    high: bool = False


class Rule(NamedTuple):
    """What is done with one call: `action`, unless `tests` are given and not all of them hold."""

    action: int
    tests: tuple[ArgumentTest, ...] = ()
    otherwise: int = KILL_PROCESS


def errno_action(number: int) -> int:
    """Return the action that answers a call with this error, without running it."""
    return ERRNO | number


def seccomp_filter(
    arch: int, rules: Mapping[int, Rule], *, default: int, foreign: int
) -> list[Instruction]:
    """Return the program for one processor family.

    `rules` has a rule by number; `default` is for a number without, `foreign` for a call by
    another ABI than this one (32-bit, x32). Raises ValueError for a program that Linux would
    refuse for its length.
    """
    program = [
        Instruction(LOAD, 0, 0, ARCH_OFFSET),
        Instruction(JUMP_EQUAL, 1, 0, arch),
        Instruction(RETURN, 0, 0, foreign),
        Instruction(LOAD, 0, 0, NUMBER_OFFSET),
        Instruction(JUMP_GREATER_EQUAL, 0, 1, FIRST_X32),
        Instruction(RETURN, 0, 0, foreign),
    ]
    for last, rule in _ranges(rules, default):
        block = _block(rule)
        program += [Instruction(JUMP_GREATER, len(block), 0, last), *block]
    program.append(Instruction(RETURN, 0, 0, default))
    if len(program) > LARGEST_PROGRAM:
        raise ValueError(f"{len(program)} instructions are more than {LARGEST_PROGRAM}")
    return program


def _ranges(rules: Mapping[int, Rule], default: int) -> Iterable[tuple[int, Rule]]:
    """Yield the last number of each run of equal rules, from 0 to the highest number."""
    unknown = Rule(default)
    highest = max(rules, default=-1)
    for number in range(highest + 1):
        rule = rules.get(number, unknown)
        if number == highest or rules.get(number + 1, unknown) != rule:
            yield number, rule


def _block(rule: Rule) -> list[Instruction]:
    """Return instructions that always end with an answer."""
    block: list[Instruction] = []
    for test in rule.tests:
        offset = ARGUMENTS_OFFSET + 8 * test.argument + 4 * test.high
        block.append(Instruction(LOAD, 0, 0, offset))
        if test.mask != WHOLE:
            block.append(Instruction(AND, 0, 0, test.mask))
        count = len(test.values)
        block += [
            Instruction(JUMP_EQUAL, count - position, 0, value)
            for position, value in enumerate(test.values)
        ]
        block.append(Instruction(RETURN, 0, 0, rule.otherwise))
    return [*block, Instruction(RETURN, 0, 0, rule.action)]
