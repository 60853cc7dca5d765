"""Two real processes over one instance: what one takes back, the other refuses at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
WORKER = """
import json, sys
from secureml.app import create_app
http = create_app(sys.argv[1]).test_client()
print(json.dumps("up"), flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    answer = http.open(ask["path"], method=ask["method"], json=ask.get("json"),
                       headers=ask["headers"], base_url="https://localhost:8443")
    print(json.dumps([answer.status_code, answer.json]), flush=True)
"""
SETTINGS = """
[secureml]
profile = "development"
plugins = ["api_keys", "jwt", "scopes", "errors"]
[plugins.jwt]
issuer = "https://ml.example.org"
audience = "ml"
"""


class Worker:
    """A process that serves requests given to it one a line."""

    def __init__(self, instance):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(instance)],
            cwd=CHECKOUT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.read() == "up"

    def read(self):
        """Return the next line it says."""
        return json.loads(self.process.stdout.readline())

    def ask(self, method, path, body=None, **headers):
        """Return status and body of an answer."""
        words = {"method": method, "path": path, "json": body, "headers": headers}
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return self.read()

    def status(self, token):
        """Return the status a token gets."""
        return self.ask("GET", "/v1/models", Authorization=f"Bearer {token}")[0]

    def stop(self):
        """End it and wait."""
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


def command(instance, *words):
    """Run the command line in a third process."""
    result = subprocess.run(
        [sys.executable, "-m", "secureml.cli", "--instance", str(instance), *words, "--json"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(result.stdout)


@pytest.fixture
def site(tmp_path):
    """An instance with one key, and two workers over it."""
    instance = tmp_path / "instance"
    command(instance, "init")
    (instance / "secureml.toml").write_text(SETTINGS)
    command(instance, "clients", "add", "acme", "--scope", "token", "--scope", "models:read")
    key = command(instance, "api-keys", "issue", "acme")["key"]
    workers = [Worker(instance), Worker(instance)]
    yield instance, key, workers
    for worker in workers:
        worker.stop()


@pytest.mark.slow
def test_every_revocation_is_seen_by_both_workers_at_their_next_request(site):
    """By token, client, key, moment, retired key, replay and disabled client."""
    instance, key, (one, two) = site

    def pair():
        status, found = one.ask("POST", "/v1/auth/token", {}, **{"X-API-Key": key})
        assert status == 200, found
        tokens = (found["access_token"], found["refresh_token"])
        assert one.status(tokens[0]) == two.status(tokens[0]) == 200
        return tokens

    def refused(token):
        return one.status(token) == two.status(token) == 401

    access, _ = pair()
    assert two.ask("POST", "/v1/auth/revoke", {"token": access})[0] == 200
    assert refused(access)

    access, refresh = pair()
    renewed = two.ask("POST", "/v1/auth/refresh", {"refresh_token": refresh})
    assert renewed[0] == 200
    assert one.ask("POST", "/v1/auth/refresh", {"refresh_token": refresh})[0] == 401
    assert refused(access)
    assert refused(renewed[1]["access_token"])

    for words in (("--client", "acme"), ("--before", "now")):
        access, _ = pair()
        command(instance, "jwt", "revoke", *words)
        assert refused(access)

    access, _ = pair()
    (active,) = [
        row for row in command(instance, "signing-keys", "list") if row["state"] == "active"
    ]
    command(instance, "signing-keys", "rotate")
    assert one.status(access) == two.status(access) == 200
    command(instance, "signing-keys", "retire", active["kid"])
    assert refused(access)

    access, _ = pair()
    command(instance, "clients", "disable", "acme")
    assert refused(access)
