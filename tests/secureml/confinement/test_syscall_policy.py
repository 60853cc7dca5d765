"""What the work's filter says to every system call of both processor families."""

from __future__ import annotations

import errno

import pytest
from bpf_machine import answer, data

from secureml.confinement import syscall_policy as policy
from secureml.confinement.bpf import ALLOW, KILL_PROCESS, NOTIFY, errno_action

MACHINES = sorted(policy.ARCHITECTURES)
PROCESS, CONTROL = 4321, 9
READ_ONLY = {"open": (0, 0), "openat": (0, 0, 0)}
# Calls that are allowed with these arguments, and refused with those.
CONDITIONS = [
    ("openat", (0, 0, 0o2000000), (0, 0, 0o2)),
    ("openat", (0, 0, 0o200000), (0, 0, 0o101)),
    ("openat", (0, 0, 0), (0, 0, 0o1000)),
    ("openat", (0, 0, 0), (0, 0, 0o20200000)),
    ("clone", (0x3D0F00,), (0x11,)),
    ("clone", (0x3D0F00,), (0x4111,)),
    ("clone", (0x3D0F00,), (0x3D0F00 | 0x1000_0000,)),
    ("kill", (PROCESS, 6), (1, 9)),
    ("kill", (PROCESS, 6), (-1, 9)),
    ("kill", (PROCESS, 6), (-PROCESS, 9)),
    ("kill", (PROCESS, 6), (0, 9)),
    ("tgkill", (PROCESS, PROCESS, 6), (1, 1, 9)),
    ("prctl", (15, 0), (4, 1)),
    ("prctl", (16, 0), (1, 0)),
    ("prctl", (39,), (22, 2)),
    ("prlimit64", (0, 1, 0, 7), (0, 1, 7, 0)),
    ("prlimit64", (0, 1, 0, 7), (0, 1, 7 << 32, 0)),
    ("sendmsg", (CONTROL,), (CONTROL + 1,)),
]


def made(machine, reported=True):
    arch, numbers = policy.ARCHITECTURES[machine]
    program = policy.work_filter(machine, process=PROCESS, control=CONTROL, reported=reported)

    def ask(name, *arguments):
        number = numbers[name] if isinstance(name, str) else name
        return answer(program, data(number, *arguments, arch=arch))

    return ask


def expected(name, refused):
    """Return the answer to a call with arguments that no condition allows."""
    if name in policy.ALLOWED:
        return ALLOW
    if name == "ioctl":
        return errno_action(errno.ENOTTY)
    if name == "fcntl":
        return errno_action(errno.EPERM)
    return errno_action(policy.QUIET[name]) if name in policy.QUIET else refused(name)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_that_is_not_listed_is_handed_to_the_parent(machine):
    ask = made(machine)
    all_bits = [2**64 - 1] * 6
    for name in policy.ARCHITECTURES[machine][1]:
        assert ask(name, *all_bits) == expected(name, lambda _: NOTIFY), name


@pytest.mark.parametrize("machine", MACHINES)
def test_without_a_listener_the_kernel_acts_alone(machine):
    ask = made(machine, reported=False)

    def refused(name):
        return errno_action(policy.NOTED[name]) if name in policy.NOTED else KILL_PROCESS

    all_bits = [2**64 - 1] * 6
    for name in policy.ARCHITECTURES[machine][1]:
        assert ask(name, *all_bits) == expected(name, refused), name


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_that_no_table_has_are_answered_as_by_an_older_kernel(machine):
    ask = made(machine)
    known = set(policy.ARCHITECTURES[machine][1].values())
    for number in set(range(2048)) - known:
        assert ask(number) == errno_action(errno.ENOSYS), number


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "allowed", "refused"), CONDITIONS)
def test_a_call_is_allowed_with_harmless_arguments_only(machine, name, allowed, refused):
    ask = made(machine)
    assert ask(name, *allowed) == ALLOW
    assert ask(name, *refused) == NOTIFY


def test_calls_by_another_abi_are_refused():
    program = policy.work_filter("x86_64", process=PROCESS, control=CONTROL)
    i386 = 0x4000_0003
    for number in range(512):
        assert answer(program, data(number, arch=i386)) == NOTIFY
        assert answer(program, data(number | 0x4000_0000, arch=0xC000_003E)) == NOTIFY


def test_the_lists_name_calls_that_exist_and_each_stands_once():
    known = {name for _, table in policy.ARCHITECTURES.values() for name in table}
    lists = [policy.ALLOWED, set(policy.QUIET), set(policy.NOTED)]
    assert set().union(*lists) <= known
    assert sum(map(len, lists)) == len(set().union(*lists))


def test_nothing_that_reaches_outside_is_on_the_list():
    reaching = """
        socket connect execve fork vfork clone ptrace mount unshare setns bpf io_uring_setup keyctl
        userfaultfd open_by_handle_at recvmsg pidfd_getfd seccomp setrlimit
    """
    assert not set(reaching.split()) & (policy.ALLOWED | set(policy.QUIET))


def test_unix_sockets_are_noted_and_all_others_end_the_work():
    assert policy.is_noted("socket", (1, 1, 0, 0, 0, 0))
    assert not policy.is_noted("socket", (2, 1, 0, 0, 0, 0))
    # The kernel looks at the low half alone.
    assert policy.is_noted("socket", (1 << 32 | 1, 1, 0, 0, 0, 0))
    assert policy.noted_errno("socket") == errno.EACCES


def test_a_call_is_told_by_its_name_where_there_is_one():
    assert policy.call_name("x86_64", 0xC000_003E, 41) == "socket"
    assert policy.call_name("aarch64", 0xC000_00B7, 198) == "socket"
    assert policy.call_name("x86_64", 0xC000_003E, 335) == "call 335"
    assert policy.call_name("x86_64", 0x4000_0003, 41) == "a call by another ABI"
    assert policy.call_name("x86_64", 0xC000_003E, 0x4000_0029) == "a call by another ABI"


def test_another_processor_family_has_no_filter():
    with pytest.raises(KeyError):
        policy.work_filter("riscv64", process=1, control=3)
