"""Real containers: Podman with storage of its own, and images built from the real Dockerfile.

Nothing can be pulled, so the base is made of Debian's packages under the name that the Dockerfile
gives; all else is what an operator would run. Files of one run share storage and images: whoever
comes first builds under a lock, and whoever is the last to end removes all of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_servers import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BASE = "docker.io/library/python:3.11-slim-bookworm"
DOCKERFILE = "deploy/container/Dockerfile"
APP, NGINX = "localhost/secureml:test", "localhost/secureml-nginx:test"
INSTANCE, RUN = "/var/lib/secureml", "/var/lib/secureml/run"
PACKAGES = "python3,python3-venv,ca-certificates"
# All that a container must do without; the numbers are those of deploy/container/compose.yaml.
HARDENED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--memory", "1g", "--pids-limit", "128"),
)
# What a build may read: it is given a copy of this, and of nothing else in the checkout.
CONTEXT = ("secureml", "plugins", "deploy", "script", "nginx.conf", "pyproject.toml",
           "requirements.txt", "wsgi.py")  # fmt: skip
_AUTHORITIES = "/etc/ssl/certs"
_CONF = """\
[containers]
default_ulimits = [{limits}]
cgroupns = "host"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
"""


class Failed(AssertionError):
    """A command of Podman that should have succeeded; the message is what it printed."""


class Engine:
    """Podman over one folder of storage; what is started here is ended here, by its name."""

    def __init__(self, folder: Path, podman: str = "podman") -> None:
        self.folder, self._podman = folder, podman
        self._names: list[str] = []
        self._volumes: list[str] = []
        self._networks: list[str] = []
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Podman's own limits need a right that a test machine may lack: these are below them.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        files = 16_384 if hard == resource.RLIM_INFINITY else min(hard, 16_384)
        limits = f'"nofile={files}:{files}", "nproc=4096:4096"'
        self._write_conf("containers.conf", limits)
        # `podman play kube` takes no limits of processes at all.
        self._write_conf("kube.conf", "")

    def _write_conf(self, name: str, limits: str) -> None:
        file = self.folder / name
        if not file.exists():
            file.write_text(_CONF.format(limits=limits, folder=self.folder), "utf-8")

    def words(self) -> list[str]:
        """Return the beginning of a command line: Podman with this storage."""
        storage = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        return [self._podman, *storage, "--storage-driver", "overlay"]

    def environment(self, conf: str = "containers.conf") -> dict[str, str]:
        """Return the environment in which Podman reads this engine's configuration."""
        # What a build writes on its way lies in the storage as well, and is removed with it.
        return os.environ | {
            "CONTAINERS_CONF": str(self.folder / conf),
            "TMPDIR": str(self.folder),
        }

    def do(
        self, *words: str, seconds: float = 120, conf: str = "containers.conf", **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Podman, whatever comes of it.

        In the storage: where memory ran out, its monitor leaves a file in the folder it is in.
        """
        return subprocess.run(
            [*self.words(), *words], env=self.environment(conf), capture_output=True, text=True,
            cwd=self.folder, check=False, timeout=seconds, **more,
        )  # fmt: skip

    def __call__(self, *words: str, seconds: float = 120, **more: Any) -> str:
        """Run a command of Podman that must succeed and return what it printed."""
        done = self.do(*words, seconds=seconds, **more)
        if done.returncode:
            raise Failed(f"podman {' '.join(words)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.strip()

    # -- images --------------------------------------------------------------------------------

    def has(self, image: str) -> bool:
        """Tell whether an image is in the storage."""
        return self.do("image", "exists", image).returncode == 0

    def make_base(self, mmdebstrap: str) -> None:
        """Make the image that the Dockerfile builds upon, of Debian's packages alone."""
        if self.has(BASE):
            return
        tar = self.folder / "base.tar"
        options = ["--variant=minbase", "--mode=root", f"--include={PACKAGES}"]
        options += ["--aptopt=APT::Install-Recommends false", "--dpkgopt=force-unsafe-io"]
        options += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man")]
        made = subprocess.run(
            [mmdebstrap, *options, "bookworm", str(tar)],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        if made.returncode:
            raise Failed(made.stderr[-3000:])
        self("import", "--quiet", "--change", 'CMD ["python3"]', str(tar), BASE)
        tar.unlink()

    def build(
        self, tag: str, context: Path, *options: str, file: str = DOCKERFILE, pip: bool = True
    ) -> None:
        """Build an image; what is run in it sees the network, and pip this host's authorities."""
        words = ["build", "--quiet", "--pull=never", "--format", "docker", "--isolation", "chroot"]
        words += ["--network", "host"]
        if pip:
            words += ["--volume", f"{_AUTHORITIES}:{_AUTHORITIES}:ro"]
            words += ["--env", f"PIP_CERT={_AUTHORITIES}/ca-certificates.crt"]
        ignored = context / f"{file}.dockerignore"
        words += ["--ignorefile", str(ignored)] if ignored.exists() else []
        self(*words, *options, "--tag", tag, "--file", str(context / file), str(context),
             seconds=900)  # fmt: skip

    # -- containers, volumes, networks ---------------------------------------------------------

    def name(self, word: str) -> str:
        """Return a name that nobody else on this machine uses, for what is started now."""
        name = f"{word}-{uuid.uuid4().hex[:8]}"
        self._names.append(name)
        return name

    def volume(self, word: str) -> str:
        """Make a volume and return its name."""
        name = f"{word}-{uuid.uuid4().hex[:8]}"
        self("volume", "create", name)
        self._volumes.append(name)
        return name

    def network(self, word: str, *options: str) -> str:
        """Make a network and return its name."""
        name = f"{word}-{uuid.uuid4().hex[:8]}"
        self("network", "create", *options, name)
        self._networks.append(name)
        return name

    def place(self, volume: str) -> Path:
        """Return where a volume lies on this host."""
        return Path(self("volume", "inspect", volume, "--format", "{{.Mountpoint}}"))

    def start(self, word: str, image: str, *options: str, command: Sequence[str] = ()) -> str:
        """Start a container in the background, with nothing but what is given; return its name."""
        name = self.name(word)
        self("run", "--detach", "--name", name, *HARDENED, *options, image, *command)
        return name

    def try_once(
        self, image: str, *options: str, command: Sequence[str] = (), seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end, whatever comes of it."""
        words = ("run", "--rm", "--name", self.name("once"), "--no-healthcheck")
        return self.do(*words, *HARDENED, *options, image, *command, seconds=seconds)

    def secureml(self, volumes: Sequence[str], *words: str, options: Sequence[str] = ()) -> str:
        """Run `secureml ...` in a container of its own, as an operator does; it must succeed."""
        mounts = [word for volume in volumes for word in ("--volume", volume)]
        more = ["--network", "none", *mounts, *options, "--entrypoint", "secureml"]
        done = self.try_once(APP, *more, command=words)
        if done.returncode:
            raise Failed(f"secureml {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def inspect(self, container: str) -> Any:
        """Return what Podman knows of a container."""
        return json.loads(self("container", "inspect", container))[0]

    def port(self, container: str, inside: int = 8443) -> int:
        """Return the port of loopback that leads to a port of a container."""
        return int(self("port", container, str(inside)).rpartition(":")[2])

    def log(self, container: str) -> str:
        """Return what a container has written."""
        done = self.do("logs", container)
        return done.stdout + done.stderr

    def end(self, container: str) -> None:
        """End a container at once and forget it; one that is not there is no fault."""
        self.do("rm", "--force", "--time", "0", "--ignore", container)
        if container in self._names:
            self._names.remove(container)

    def close(self) -> None:
        """End what was started here, last first, and remove its volumes and networks."""
        for name in reversed([*self._names]):
            self.end(name)
        for volume in self._volumes:
            self.do("volume", "rm", "--force", volume)
        for network in self._networks:
            self.do("network", "rm", "--force", network)
        self._volumes.clear()
        self._networks.clear()


def copy_context(target: Path, names: Sequence[str] = CONTEXT) -> Path:
    """Copy what a build reads, so that nothing of a working checkout changes under it."""
    for name in names:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, target / name,
                            ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
        else:
            shutil.copy2(source, target / name)
    return target


@contextlib.contextmanager
def shared_engine(session: Path, podman: str, mmdebstrap: str) -> Iterator[Engine]:
    """Give an engine with both images, built once for all files that use it at the same time.

    ``session`` is a folder that all processes of one run of the tests know.
    """
    # Short: Podman makes sockets below it, whose names have a limit.
    folder = Path("/var/tmp") / f"sml-{hashlib.sha256(bytes(session)).hexdigest()[:10]}"
    with (session / "containers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        engine = Engine(folder, podman)
        try:
            engine.make_base(mmdebstrap)
            if not (engine.has(APP) and engine.has(NGINX)):
                context = copy_context(folder / "context")
                engine.build(APP, context, "--target", "app")
                engine.build(NGINX, context, "--target", "nginx")
                shutil.rmtree(context)
            fcntl.flock(lock, fcntl.LOCK_SH)  # others may use it now, and none may remove it
            yield engine
        finally:
            engine.close()
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(engine)


def _remove(engine: Engine) -> None:
    """Remove the storage; its mounts end first, or their files would be removed through them."""
    engine.do("rm", "--all", "--force", "--time", "0")
    mounted = Path("/proc/self/mountinfo").read_text("utf-8")
    below = [line.split()[4] for line in mounted.splitlines() if f"{engine.folder}/" in line]
    for place in reversed(below):
        subprocess.run(["umount", place], check=True, capture_output=True, timeout=30)
    shutil.rmtree(engine.folder)
