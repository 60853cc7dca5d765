"""A Debian 12 of one's own: made by mmdebstrap, booted by systemd-nspawn, with no network.

Its systemd is a real one. Apart from a virtual machine there is this: the kernel is ours, its only
network is a loopback of its own, and packages come from folders of the host: Debian's are in the
root from the start, Python's in /mnt/wheels. systemd-nspawn refuses the system calls of Landlock
unless it is told to let them pass, which a virtual machine does not.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from live_servers import CHECKOUT
from live_serving import children, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = (
    "systemd,systemd-sysv,dbus,ca-certificates,python3,python3-venv,nginx-light,certbot,curl,"
    "openssl,logrotate"
)
LOAD = Path(__file__).with_name("live_load.py")
LANDLOCK = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"
# The program, the wheels and what is shared with us are mounted; all else is the machine's own.
# One that reboots is ended with 133, to be started again by us in the same network.
START = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/over,workdir=$2/work" "$2/root"
stop() { kill -TERM "$child"; wait "$child" || true; exit 0; }
trap stop TERM
code=133
while [ "$code" = 133 ]; do
    systemd-nspawn -q -D "$2/root" -M "$3" --register=no --keep-unit --console=read-only \
        "--system-call-filter=$4" --bind-ro="$5:/mnt/checkout" --bind-ro="$6:/mnt/wheels" \
        --bind="$2/shared:/mnt/shared" -b &
    child=$! code=0
    wait "$child" || code=$?
done
"""
LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket() as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS: up
"""
INSIDE = ["--mount", "--uts", "--ipc", "--net", "--pid"]


class Machine:
    """One that is booted over a shared root; what it writes is in a folder of its own."""

    def __init__(self, name: str, folder: Path, base: Path, wheels: Path, program: Path) -> None:
        self.name, self.folder = name, folder
        self.shared = folder / "shared"
        for part in ("over", "work", "root", "shared"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self._words = [
            "unshare", "--mount", "--net", "bash", "-c",
            f"{sys.executable} -c '{LOOPBACK_UP}'\n{START}", "start",
            str(base), str(folder), name, LANDLOCK, str(program), str(wheels),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self.folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                self._words, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        if not self.is_up():
            self.__exit__()
            pytest.fail((self.folder / "console.log").read_text("utf-8", "replace")[-3000:])
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()  # an orderly end of the machine
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for part in ("over", "work"):  # gigabytes that would be kept with the log
            shutil.rmtree(self.folder / part, ignore_errors=True)

    def is_up(self) -> bool:
        """Wait until systemd has started all that it starts."""
        assert self._process is not None

        def says() -> bool:
            try:
                said = self.run("systemctl is-system-running").stdout
            except (LookupError, subprocess.TimeoutExpired):
                return False
            return said.strip() in ("running", "degraded")

        return until(says, 60)

    def first_process(self) -> int:
        """Return the pid of the machine's systemd; raises LookupError while there is none."""
        assert self._process is not None
        found = [below for child in children(self._process.pid) for below in children(child)]
        if not found:
            raise LookupError(self.name)
        return found[0]

    def run(self, script: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run lines of bash as root, started by the machine's systemd as a login is."""
        words = [
            "nsenter", "-t", str(self.first_process()), *INSIDE, "--", "systemd-run", "--pipe",
            "--wait", "--collect", "-q", "-E", "HOME=/srv", "-E", "PIP_NO_INDEX=1", "-E",
            "PIP_FIND_LINKS=/mnt/wheels", "-E", "SECUREML_INSTANCE=/var/lib/secureml", "bash", "-c",
            script,
        ]  # fmt: skip
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=seconds,
        )  # fmt: skip

    def must(self, script: str, seconds: float = 300) -> str:
        """Run lines that must succeed, each of them; return what they said."""
        done = self.run(f"set -euo pipefail\n{script}", seconds)
        assert done.returncode == 0, f"{script}\n{done.stdout[-5000:]}"
        return done.stdout

    def beside(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program of the host in the machine's network; it outlives a restart of it."""
        assert self._process is not None
        network = ["nsenter", "-t", str(self._process.pid), "--net", "--"]
        return subprocess.Popen([*network, *words], text=True, **options)

    @contextmanager
    def load(self, request: dict[str, Any]) -> Iterator[Load]:
        """Ask twenty times a second from within the machine's network, through a restart of it."""
        words = [sys.executable, str(LOAD), json.dumps(request)]
        with self.beside(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            yield Load(process)  # at the end of its input it ends


class Load:
    """Requests that are being made; what became of each is known at the end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process, self.answers = process, list[dict[str, Any]]()
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "answered"

    def end(self) -> list[dict[str, Any]]:
        """Stop asking; return of each request when it began, and its status or its fault."""
        said, _ = self._process.communicate("\n", timeout=120)
        self.answers = [json.loads(line) for line in said.splitlines()]
        return self.answers


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(kind: str, of: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is made once for what it depends on, and kept in .venv."""
    digest = hashlib.sha256(of.encode()).hexdigest()[:12]
    folder = Path(sys.prefix) / f"{kind}-{digest}"
    with locked(folder):
        if folder.exists():
            return folder
        for old in folder.parent.glob(f"{kind}-*"):
            if old.is_dir():
                shutil.rmtree(old)
        part = folder.with_name(f"{folder.name}.part")
        part.mkdir(mode=0o700)
        make(part)
        part.rename(folder)
    return folder


def debian(program: str) -> Path:
    """Return a fresh Debian 12 with what install.sh needs; a week old at most."""
    options = ["--variant=minbase", "--mode=root", f"--include={PACKAGES}"]
    options += ["--aptopt=APT::Install-Recommends false", "--dpkgopt=force-unsafe-io"]
    options += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    week = datetime.now(UTC).strftime("%G-%V")

    def make(folder: Path) -> None:
        folder.chmod(0o755)
        made = subprocess.run(
            [program, *options, "bookworm", str(folder)],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr[-2000:]

    return kept("debian", f"{options}{week}", make)


def wheels() -> Path:
    """Return a folder with the packages that are installed there, for Debian's Python."""
    lists = [CHECKOUT / "requirements.txt", CHECKOUT / "deploy/extras/lz4.txt"]

    def make(folder: Path) -> None:
        words = [sys.executable, "-m", "pip", "download", "-q", "--no-input", "--require-hashes"]
        words += ["--only-binary", ":all:", "--python-version", "3.11", "-d", str(folder)]
        made = subprocess.run(
            [*words, *(word for path in lists for word in ("-r", str(path)))],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr[-2000:]

    return kept("wheels", "".join(path.read_text("utf-8") for path in lists), make)


def archive(folder: Path) -> Path:
    """Copy what a release consists of, as an archive of it has it: without .git and tests."""
    script = f'. {CHECKOUT}/deploy/vm/release.sh; printf "%s\\n" "${{contents[@]}}"'
    names = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    for name in names.stdout.split():
        source = CHECKOUT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignore, symlinks=True)
        else:
            shutil.copy(source, folder)
    return folder


def demand_root() -> None:
    """Skip where no machine can be made: that takes root, and mounts."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a machine and mount into it")
