"""Which system calls the work may make: all that are not listed here are refused.

A list of what is allowed, not of what is forbidden, because a kernel gets several new calls a year
and each would be open until somebody has read of it. It was found to be stable: CPython, numpy,
scipy, scikit-learn and pandas make some fifty calls, and what a new libc tries first it is able
to do without, if it is answered as by a kernel that lacks the call.

Three ways to refuse. Most calls are *ending*: the work asked for something that no model needs,
and is ended. Some are *noted*: honest libraries try them and go on without (a lock file in
/dev/shm, a cache folder), so they get an error and are written down. A few are answered with an
error and not spoken of: they change nothing for others, and libraries probe them.
"""

from __future__ import annotations

import errno

from .bpf import (
    ALLOW,
    KILL_PROCESS,
    NOTIFY,
    ArgumentTest,
    Instruction,
    Rule,
    errno_action,
    seccomp_filter,
)
from .syscall_numbers import AARCH64, X86_64

# By `platform.machine()`: the value of AUDIT_ARCH_*, and the numbers.
ARCHITECTURES = {"x86_64": (0xC000_003E, X86_64), "aarch64": (0xC000_00B7, AARCH64)}


def _each(names: str, error: int) -> dict[str, int]:
    """Return the error by each of these names."""
    return dict.fromkeys(names.split(), error)


_ALLOWED = """
    read write close readv writev pread64 pwrite64 preadv pwritev lseek dup dup2 dup3 flock
    pipe pipe2 poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2
    stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getcwd
    getdents getdents64 statfs fstatfs chdir fchdir umask fadvise64 readahead
    fsync fdatasync ftruncate fallocate
    mmap mprotect munmap mremap brk madvise mincore msync mseal
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait
    sigaltstack restart_syscall pause alarm getitimer setitimer
    futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list get_robust_list
    set_tid_address rseq membarrier sched_yield exit exit_group
    getpid gettid getppid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp
    getpgid getsid capget uname sysinfo getrusage getrlimit times getrandom getcpu
    gettimeofday time clock_gettime clock_getres clock_nanosleep nanosleep
    sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
    sched_get_priority_min getpriority
"""
ALLOWED = frozenset(_ALLOWED.split())
# Answered with an error and not written down.
QUIET = {
    # What glibc and Python try first, and do without on an older kernel. Of these two, the
    # arguments are in memory, which a filter cannot read.
    "clone3": errno.ENOSYS,
    "openat2": errno.ENOSYS,
    **_each("sendfile copy_file_range splice tee vmsplice", errno.ENOSYS),
    **_each("pkey_alloc pkey_mprotect pkey_free cachestat", errno.ENOSYS),
    **_each("map_shadow_stack memfd_secret", errno.ENOSYS),
    # Where threads and memory are placed: a wish of numeric libraries.
    **_each("sched_setaffinity sched_setparam sched_setscheduler", errno.EPERM),
    **_each("sched_setattr sched_getattr setpriority ioprio_set", errno.EPERM),
    **_each("mbind get_mempolicy set_mempolicy move_pages", errno.EPERM),
    **_each("mlock mlock2 mlockall munlock munlockall", errno.EPERM),
    **_each("getxattr lgetxattr fgetxattr", errno.EOPNOTSUPP),
    **_each("listxattr llistxattr flistxattr", errno.EOPNOTSUPP),
    "arch_prctl": errno.EINVAL,
}
# Refused with this error, written down, and the work goes on.
NOTED = {
    **_each("open openat creat truncate unlink unlinkat rmdir", errno.EACCES),
    **_each("mkdir mkdirat mknod mknodat link linkat symlink", errno.EACCES),
    **_each("symlinkat rename renameat renameat2 chmod fchmod", errno.EACCES),
    **_each("fchmodat fchmodat2 chown lchown fchown fchownat", errno.EACCES),
    **_each("utime utimes utimensat futimesat setxattr", errno.EACCES),
    **_each("lsetxattr fsetxattr removexattr lremovexattr", errno.EACCES),
    "fremovexattr": errno.EACCES,
    "memfd_create": errno.EPERM,
    "prctl": errno.EPERM,
}
# The C library asks its cache of names and its log over such a socket, for every caller.
_NOTED_FAMILY = 1  # AF_UNIX

# Bits of `open` that can change a file: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE.
_CHANGES = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000
_THREAD = 0x0001_0000
_NEW_NAMESPACES = 0x7E02_0080
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032, 1034)
# Names of threads and of memory, and questions.
_PRCTLS = (15, 16, 3, 21, 23, 39, 0x5356_4D41)


def is_noted(name: str, arguments: tuple[int, ...]) -> bool:
    """Say whether the work may go on after this call was refused."""
    if name == "socket":
        return arguments[0] & 0xFFFF_FFFF == _NOTED_FAMILY
    return name in NOTED


def noted_errno(name: str) -> int:
    """Return the error that a noted call is answered with."""
    return NOTED.get(name, errno.EACCES)


def _conditions(process: int, control: int) -> dict[str, tuple[ArgumentTest, ...]]:
    """Return the tests of calls that are allowed with some arguments only."""
    own_process = (ArgumentTest(0, (process,)),)
    return {
        "open": (ArgumentTest(1, (0,), mask=_CHANGES),),
        "openat": (ArgumentTest(2, (0,), mask=_CHANGES),),
        "clone": (ArgumentTest(0, (_THREAD,), mask=_THREAD | _NEW_NAMESPACES),),
        "kill": own_process,
        "tgkill": own_process,
        "prctl": (ArgumentTest(0, _PRCTLS),),
        # Asking for limits is allowed, setting them is not: the new ones must be NULL.
        "prlimit64": (ArgumentTest(2, (0,)), ArgumentTest(2, (0,), high=True)),
        # The launcher hands over the descriptor of this very filter, and closes the only socket
        # there is; none can be made after it.
        "sendmsg": (ArgumentTest(0, (control,)),),
    }


def rules(names: dict[str, int], *, process: int, control: int, reported: bool) -> dict[int, Rule]:
    """Return a rule for every call of a table.

    `process` is the id of the process that the filter is for, `control` the descriptor that it
    reports on. With `reported`, refusals are handed to the parent; otherwise Linux acts alone.
    """
    conditions = _conditions(process, control)
    found: dict[int, Rule] = {}
    for name, number in names.items():
        refusal = _refusal(name, reported=reported)
        if name in ALLOWED:
            found[number] = Rule(ALLOW)
        elif name in conditions:
            found[number] = Rule(ALLOW, conditions[name], refusal)
        elif name == "ioctl":
            found[number] = _one_of(1, _IOCTLS, errno.ENOTTY)
        elif name == "fcntl":
            found[number] = _one_of(1, _FCNTLS, errno.EPERM)
        else:
            found[number] = Rule(refusal)
    return found


def _one_of(argument: int, values: tuple[int, ...], error: int) -> Rule:
    return Rule(ALLOW, (ArgumentTest(argument, values),), errno_action(error))


def _refusal(name: str, *, reported: bool) -> int:
    if name in QUIET:
        return errno_action(QUIET[name])
    if reported:
        return NOTIFY
    return errno_action(NOTED[name]) if name in NOTED else KILL_PROCESS


def work_filter(
    machine: str, *, process: int, control: int, reported: bool = True
) -> list[Instruction]:
    """Return the program that the work runs under. Raises KeyError for another processor."""
    arch, names = ARCHITECTURES[machine]
    return seccomp_filter(
        arch,
        rules(names, process=process, control=control, reported=reported),
        default=errno_action(errno.ENOSYS),
        foreign=NOTIFY if reported else KILL_PROCESS,
    )


def call_name(machine: str, arch: int, number: int) -> str:
    """Return the name of a call, or what is known of it."""
    own, names = ARCHITECTURES[machine]
    if arch != own or number & 0x4000_0000:
        return "a call by another ABI"
    return next((name for name, value in names.items() if value == number), f"call {number}")
