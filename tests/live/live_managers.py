"""Real secrets managers on loopback, and the real application on Gunicorn that asks them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import hvac
import pytest
import requests
from live_servers import CHECKOUT, end, free_port
from live_serving import UnixConnection, alone, ask, children, until

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "canary-root-token-of-bao"
READ_ONLY = 'path "secret/data/edge" { capabilities = ["read"] }'


class Program:
    """One server of somebody else's: started here, awaited by asking it, ended by its pid."""

    def __init__(self, command: list[str], folder: Path, **variables: str) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self._log, stderr=subprocess.STDOUT
        )

    def answers(self, url: str) -> None:
        def asked() -> bool:
            try:
                return requests.get(url, timeout=1).status_code < 500
            except requests.RequestException:
                return False

        if not until(asked, 30):
            self.stop()
            pytest.fail(f"{url} does not answer")

    def stop(self) -> None:
        end(self.process.pid)
        self.process.wait()
        self._log.close()


class Bao(Program):
    """OpenBao in memory, with one secret, a read-only policy, a token and a role under it."""

    def __init__(self, folder: Path, program: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        address = self.url.removeprefix("http://")
        words = ["server", "-dev", f"-dev-listen-address={address}", "-dev-no-store-token"]
        super().__init__([program, *words], folder, BAO_DEV_ROOT_TOKEN_ID=ROOT)
        self.answers(f"{self.url}/v1/sys/health")
        self.root = hvac.Client(url=self.url, token=ROOT)
        self.put("first-edge-token")
        self.root.sys.create_or_update_policy("edge", READ_ONLY)
        self.root.sys.enable_auth_method("approle")
        role = self.root.auth.approle
        role.create_or_update_approle("edge", token_policies=["edge"], token_ttl="1h")
        self.role_id = role.read_role_id("edge")["data"]["role_id"]
        self.secret_id = role.generate_secret_id("edge")["data"]["secret_id"]
        self.token = self.root.auth.token.create(policies=["edge"])["auth"]["client_token"]

    def put(self, token: str) -> None:
        """Rotate the secret."""
        self.root.secrets.kv.v2.create_or_update_secret("edge", secret={"token": token})

    def away(self) -> None:
        """Say nothing more, as a machine whose network is gone."""
        self.process.send_signal(signal.SIGSTOP)

    def back(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.back()
        super().stop()


class OnGunicorn:
    """The whole application under deploy/gunicorn.conf.py with two workers, and its socket."""

    def __init__(self, instance: Path, **variables: str) -> None:
        self.instance, self.output = instance, ""
        config = str(CHECKOUT / "deploy/gunicorn.conf.py")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", config],
            env=os.environ | {"SECUREML_INSTANCE": str(instance), **variables},
            cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not until((instance / "run/gunicorn.sock").exists, 30):
            self.stop()
            pytest.fail(self.output)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def status(self, token: str) -> int:
        """Return what a request with this edge token gets, on a connection of its own."""
        with closing(UnixConnection(self.instance)) as connection:
            words = connection.edge | {"X_SecureML_Edge": token}
            return ask(connection, "GET", "/healthz", **words).status

    def everywhere(self, token: str, status: int) -> bool:
        """Tell whether each worker by itself answers so."""
        assert until(lambda: len(children(self.process.pid)) == 2), self.output
        workers = children(self.process.pid)
        return all(self._alone(worker, workers, token) == status for worker in workers)

    def _alone(self, worker: int, workers: list[int], token: str) -> int:
        with alone(worker, workers):
            return self.status(token)

    def stop(self) -> None:
        end(self.process.pid)
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def configured(instance: Any, reference: str, tables: str) -> Path:
    """Point the edge token of an instance at a reference; return the folder."""
    file: Path = instance.folder / "secureml.toml"
    text = file.read_text()
    assert '"file:keys/edge-token"' in text
    file.write_text(text.replace("file:keys/edge-token", reference) + tables)
    folder: Path = instance.folder
    return folder


def secret_file(folder: Path, name: str, text: str) -> str:
    """Write a secret beside the others and return its reference."""
    path = folder / "keys" / name
    path.touch(0o600)
    path.write_text(text)
    return f"file:keys/{name}"
