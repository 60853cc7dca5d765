"""A module that somebody was talked into allowing: whatever its classes do, they do when asked.

Each estimator does one thing as it predicts. What can be seen from outside is written to the path
that stands in `REACHED`, so that the test which has it done without confinement sees it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Hostile(ClassifierMixin, BaseEstimator):
    """A classifier of two columns that does something beside answering."""

    def __init__(self, what="nothing", target=""):
        self.what, self.target = what, target

    def fit(self, rows, answers):
        self.classes_, self.n_features_in_ = np.unique(answers), rows.shape[1]
        return self

    def predict(self, rows):
        globals()[self.what](self.target)
        return self.classes_[(np.asarray(rows)[:, 0] > 1).astype(int)]


def nothing(target):
    """Do nothing: the honest one."""


def write_file(target):
    Path(target, "written").write_text("x")


def append_to_module(target):
    with Path(__file__).open("a") as file:
        file.write("\n# changed\n")


def make_folder(target):
    Path(target, "made").mkdir()


def delete_file(target):
    Path(target, "there").unlink()


def rename_file(target):
    Path(target, "there").rename(Path(target, "moved"))


def link_file(target):
    Path(target, "linked").symlink_to("/etc/passwd")


def change_mode(target):
    Path(target, "there").chmod(0o777)


def read_secret(target):
    print(Path(target, "there").read_text())


def read_shadow(target):
    Path("/etc/shadow").read_text()


def read_passwd(target):
    Path("/etc/passwd").read_text()


def read_environment(target):
    Path(f"/proc/{os.getppid()}/environ").read_bytes()


def run_program(target):
    subprocess.run(["/usr/bin/touch", f"{target}/ran"], check=True)


def run_shell(target):
    if os.system(f"touch {target}/ran") != 0:
        raise RuntimeError("it did not run")


def become_program(target):
    os.execv("/usr/bin/touch", ["touch", f"{target}/ran"])


def fork_once(target):
    if os.fork() == 0:
        os._exit(0)


def fork_without_end(target):
    while True:
        os.fork()


def start_threads(target):
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def connect_out(target):
    socket.create_connection(("127.0.0.1", int(target)), 5)


def ask_names(target):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53))


def listen(target):
    socket.create_server(("127.0.0.1", 0))


def kill_parent(target):
    os.kill(os.getppid(), signal.SIGKILL)


def trace_parent(target):
    ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), None, None)


def eat_memory(target):
    held = []
    while True:
        held.append(np.ones(2**22))


def compute_without_end(target):
    while True:
        pass


def print_without_end(target):
    while True:
        print("x" * 10_000, flush=True)


def raise_limits(target):
    import resource

    resource.setrlimit(resource.RLIMIT_NPROC, (10_000, 10_000))


def read_foreign_memory(target):
    ctypes.string_at(0x10, 8)


def array_of_foreign_memory(target):
    np.ctypeslib.as_array(ctypes.cast(0x10, ctypes.POINTER(ctypes.c_double)), (8,)).sum()


def end_well(target):
    os._exit(0)


def answer_for_us(target):
    """Write a result of one's own over the one that is being written."""
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, b"\x89SMLFRM\n" + b"\0" * 100)
        except OSError:
            continue
    os._exit(0)
