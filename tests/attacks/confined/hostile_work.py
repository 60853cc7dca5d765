"""What a hostile model file might do, one function each; run in a confined child.

An attack that succeeds says so with `reached`, so that a test can tell it from one that was refused
and said nothing.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

GIB = 1024**3
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def reached(what=""):
    print("GOT", "THROUGH", what, flush=True)


# --- more than its share -----------------------------------------------------------------------


def fork_without_end(work):
    while True:
        os.fork()


def fork_and_ignore(work):
    for _ in range(1000):
        try:
            os.fork()
        except OSError:
            continue
    reached()


def eat_memory(work):
    kept = []
    while True:
        kept.append(b"x" * 2**20)


def eat_memory_and_ignore(work):
    kept = []
    while True:
        try:
            kept.append(bytearray(2**20))
        except MemoryError:
            time.sleep(0.01)


def eat_shared_memory(work):
    kept = []
    while True:
        block = mmap.mmap(-1, 2**24)
        for start in range(0, 2**24, 4096):
            block[start] = 1
        kept.append(block)


def one_huge_array(work):
    import numpy

    numpy.zeros(2**50)


def loop(work):
    while True:
        pass


def loop_and_ignore_signals(work):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def sleep(work):
    time.sleep(3600)


def stop_itself(work):
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(3600)


def write_gigabytes(work):
    while True:
        os.write(work.output, b"x" * 2**20)


def write_gigabytes_and_ignore(work):
    for _ in range(100):
        try:
            os.write(work.output, b"x" * 2**20)
        except OSError:
            continue


def stretch_result(work):
    os.ftruncate(work.output, 2**40)


def print_gigabytes(work):
    while True:
        os.write(2, b"x" * 2**20)


def start_threads(work):
    for _ in range(1000):
        threading.Thread(target=time.sleep, args=(3600,)).start()


def open_files(work):
    while True:
        os.open("/dev/null", os.O_RDONLY)


def raise_its_limits(work):
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**40, 2**40))
    reached()


def refused_without_end(work):
    while True:
        try:
            os.mkdir("/tmp/confined")
        except OSError:
            continue


# --- the network -------------------------------------------------------------------------------


def open_socket(work):
    family, kind = (int(argument) for argument in work.arguments)
    socket.socket(family, kind)
    reached()


def connect(work):
    host, port = work.arguments
    socket.create_connection((host, int(port))).sendall(b"stolen")
    reached()


def connect_unix(work):
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(work.arguments[0].replace("@", "\0"))
    reached()


def socket_pair(work):
    socket.socketpair()
    reached()


def resolve(work):
    socket.getaddrinfo("localhost", 80, proto=socket.IPPROTO_TCP)
    socket.getaddrinfo("example.org", 443)
    reached()


# --- files -------------------------------------------------------------------------------------


def read(work):
    reached(Path(work.arguments[0]).read_bytes())


def list_folder(work):
    reached(os.listdir(work.arguments[0]))


def write(work):
    with open(work.arguments[0], "wb") as file:
        file.write(b"left behind")
    reached()


def append_and_ignore(work):
    for path in work.arguments:
        try:
            with open(path, "ab") as file:
                file.write(b"changed")
        except OSError as error:
            print(error)
        else:
            reached()


def change_files(work):
    """Every way to change a folder or a file's mode, each tried though the last one failed."""
    there, new = work.arguments
    for change in (
        lambda: os.unlink(there),
        lambda: os.rename(there, new),
        lambda: os.link(there, new),
        lambda: os.symlink(there, new),
        lambda: os.mkdir(new),
        lambda: os.mkfifo(new),
        lambda: os.chmod(there, 0o777),
        lambda: os.chown(there, 0, 0),
        lambda: os.truncate(there, 0),
        lambda: os.utime(there, (0, 0)),
        lambda: os.setxattr(there, "user.mark", b"1"),
        lambda: os.removexattr(there, "user.mark"),
    ):
        try:
            change()
        except OSError:
            continue
        reached(there)


def write_input(work):
    os.write(work.inputs["model"], b"changed")
    reached()


def reopen_input(work):
    with open(f"/proc/self/fd/{work.inputs['model']}", "wb") as file:
        file.write(b"changed")
    reached()


def use_foreign_descriptors(work):
    given = {0, 1, 2, work.output, *work.inputs.values()}
    for descriptor in range(4096):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if descriptor not in given and "/proc/" not in target:
            reached(target)


def leave_the_root(work):
    os.chroot("/")
    reached()


def new_namespace(work):
    if not libc.unshare(0x1000_0000):
        reached()


def in_memory_file(work):
    descriptor = os.memfd_create("program")
    reached(descriptor)


# --- other processes ---------------------------------------------------------------------------


def run_shell(work):
    os.execv("/bin/sh", ["sh", "-c", f"echo left > {work.arguments[0]}"])


def shell_by_system(work):
    os.system(f"echo left > {work.arguments[0]}")
    reached()


def spawn(work):
    subprocess.run(["/bin/sh", "-c", f"echo left > {work.arguments[0]}"], check=True)
    reached()


def posix_spawn(work):
    os.posix_spawn("/bin/sh", ["sh", "-c", f"echo left > {work.arguments[0]}"], {})
    reached()


def daemon(work):
    """The double fork of a daemon, in a session of its own."""
    if not os.fork():
        os.setsid()
        if not os.fork():
            time.sleep(0.2)
            Path(work.arguments[0]).write_text("left")
    reached()


def kill_parent(work):
    os.kill(os.getppid(), signal.SIGKILL)
    reached()


def kill_everyone(work):
    os.kill(-1, signal.SIGKILL)
    reached()


def kill_parent_by_thread(work):
    if not libc.tgkill(os.getppid(), os.getppid(), 9):
        reached()


def ptrace_parent(work):
    if not libc.ptrace(16, os.getppid(), None, None):
        reached()


def read_parent_memory(work):
    buffer = ctypes.create_string_buffer(64)
    if libc.process_vm_readv(os.getppid(), buffer, 1, buffer, 1, 0) >= 0:
        reached()


def pidfd_of_parent(work):
    os.pidfd_open(os.getppid())
    reached()


def write_own_memory_file(work):
    os.open("/proc/self/mem", os.O_RDWR)
    reached()


# --- the kernel --------------------------------------------------------------------------------


def raw_call(work):
    """Make the call of this number, with small arguments."""
    if libc.syscall(*(ctypes.c_long(int(word)) for word in work.arguments)) >= 0:
        reached()


def machine_code(work):
    """Run bytes of machine code: a system call by another way than the 64-bit one."""
    code = bytes.fromhex(work.arguments[0])
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    reached(function())


def survive_the_parent(work):
    if not libc.prctl(1, 0, 0, 0, 0):
        reached()
    os.write(work.output, b"runs")
    time.sleep(3600)


def clear_screen(work):
    print("\x1b[2J\x1b]0;owned\x07 \u202e harmless")
    raise SystemExit(3)


def exit_well(work):
    os._exit(0)


def crash(work):
    ctypes.string_at(0)


def new_filter(work):
    """A filter of one's own, to answer refused calls with success."""
    if not libc.prctl(22, 2, 0, 0, 0):
        reached()


def try_file_locks(work):
    """What honest libraries do: try a cache folder, and go on without."""
    try:
        os.mkdir("/nonexistent/cache")
    except OSError:
        os.write(work.output, b"done")
