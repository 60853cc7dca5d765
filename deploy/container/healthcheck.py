"""Whether the application in this container answers: exit code 0, or 1 and one line.

    healthcheck.py [/healthz | /readyz]

Asks as Nginx would, over the unix socket and with the edge token: whoever comes another way is
refused, and each refusal written down. For HEALTHCHECK and for exec probes of Kubernetes.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from secureml import settings
from secureml.config_error import ConfigError
from secureml.state.secrets.references import SecretSource

SECONDS = 4.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(instance: Path, path: str) -> int:
    """Return the status of the answer. Raises OSError, HTTPException or ConfigError."""
    tables = settings.read_toml(instance / settings.FILE)
    bind = tables.get("server", {}).get("bind", "") or f"unix:{instance}/run/gunicorn.sock"
    headers = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
    reference = tables.get("plugins", {}).get("transport", {}).get("edge_token", "")
    if reference:
        token = SecretSource(reference).read(instance).reveal()
        headers["X-SecureML-Edge"] = token.decode("latin-1")
    connection = _UnixConnection(bind.removeprefix("unix:"))
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    """Ask once and say what is wrong."""
    path = arguments[0] if arguments else "/healthz"
    try:
        status = ask(Path(os.environ["SECUREML_INSTANCE"]), path)
    except (OSError, http.client.HTTPException, ConfigError) as error:
        print(f"healthcheck: {path}: {error}", file=sys.stderr)
        return 1
    if status != http.HTTPStatus.OK:
        print(f"healthcheck: {path} answered {status}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
