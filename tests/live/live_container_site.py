"""A site for the containers, as deploy/container/prepare makes it, and connections to it."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from live_containers import INSTANCE, RUN
from live_servers import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

HOST = "ml.example.org"
PREPARE = CHECKOUT / "deploy/container/prepare"
ROW = [17.99, 10.38, 122.8, 1001.0, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871, 1.095, 0.9053,
       8.589, 153.4, 0.006399, 0.04904, 0.05373, 0.01587, 0.03003, 0.006193, 25.38, 17.33, 184.6,
       2019.0, 0.1622, 0.6656, 0.7119, 0.2654, 0.4601, 0.1189]  # fmt: skip
BODY = {"instances": [ROW]}


class Connection(http.client.HTTPSConnection):
    """To the name of the site, wherever its port is published on loopback."""

    def __init__(self, port: int, certificate: Path) -> None:
        super().__init__(
            HOST, timeout=30, context=ssl.create_default_context(cafile=str(certificate))
        )
        self._published = port

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self._published), self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=HOST)


class Site(NamedTuple):
    """An instance on a volume, and the folder with what is mounted."""

    folder: Path
    instance: str
    run: str
    key: str

    @property
    def mounts(self) -> list[str]:
        return ["--volume", f"{self.instance}:{INSTANCE}", "--volume", f"{self.run}:{RUN}"]

    @property
    def certificate(self) -> Path:
        return self.folder / "tls/tls.crt"


def prepare(folder: Path) -> Path:
    """Make the folder of a site; those above it are open to the users of the containers."""
    done = subprocess.run(
        [str(PREPARE), str(folder), HOST, "--self-signed"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def copy_in(folder: Path, files: tuple[Path, Path]) -> None:
    """Lay a model file and its table where `secureml models seal` finds them in a container."""
    for file in files:
        shutil.copyfile(file, folder / "files" / file.name)
        (folder / "files" / file.name).chmod(0o644)
