"""script/scan finds what is planted in a copy, and says what to do about it.

Holes are looked up at an answerer on loopback that speaks the protocol of osv.dev, from advisories
written here: what is shown is that an advisory is found, not that there is none today.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.prefix) / "audit"
PIN = f"planted-package==0.12 \\\n    --hash=sha256:{'0' * 64}\n"
ADVISORY = {
    "id": "PYSEC-2026-1",
    "summary": "Requests can be forged",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "planted-package", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "0.12.3"}]}],
            "versions": ["0.11", "0.12"],
        }
    ],
}


class Answerer(BaseHTTPRequestHandler):
    """Answers as https://api.osv.dev/v1/query, of the one advisory."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((asked["package"]["name"], asked["version"]))
        (affected,) = ADVISORY["affected"]
        hit = (asked["package"] == affected["package"]
               and asked["version"] in affected["versions"])  # fmt: skip
        body = json.dumps({"vulns": [ADVISORY]} if hit else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Say nothing."""


@pytest.fixture
def osv():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answerer) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def copy(tmp_path):
    """A checkout with what script/scan reads, and the environments of this one."""
    for name in ("script", "requirements.txt", "deploy/extras",
                 "tests/requirements-audit.txt"):  # fmt: skip
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy2)(CHECKOUT / name, target)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture(autouse=True)
def _tools():
    if not (TOOLS / "bin" / "pip-audit").exists() or shutil.which("git") is None:
        missing = "pip-audit is missing; run script/test once, which installs it"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)


def scan(copy, *words, path=None, ci=""):
    environment = os.environ | {"CI": ci, "HOME": str(copy)} | ({"PATH": path} if path else {})
    return subprocess.run(
        ["bash", str(copy / "script" / "scan"), *words], env=environment, cwd=copy,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def address(server):
    return f"http://127.0.0.1:{server.server_port}/v1/query"


def test_our_own_lists_are_asked_about_in_full(copy, osv):
    done = scan(copy, "--only", "dependencies", "--osv-url", address(osv))
    assert done.returncode == 0, done.stderr
    asked = {name for name, _ in osv.asked}
    assert {"flask", "gunicorn", "scikit-learn", "psycopg", "redis"} <= asked
    lines = (copy / "requirements.txt").read_text("utf-8").splitlines()
    # A line with a condition is for one version of Python, and asked about there.
    pinned = {line.partition("==")[0] for line in lines if "==" in line and " ; " not in line}
    assert pinned <= asked


@pytest.mark.parametrize("name", ["requirements.txt", "deploy/extras/redis.txt"])
def test_a_planted_package_with_a_known_hole_is_found(copy, osv, name):
    with (copy / name).open("a") as file:
        file.write(PIN)
    done = scan(copy, "--only", "dependencies", "--osv-url", address(osv))
    assert done.returncode == 1
    assert "planted-package" in done.stdout
    assert "0.12.3" in done.stdout  # the version that is repaired
    assert "script/scan: dependencies: fix: raise the bound" in done.stderr


def test_a_service_that_cannot_be_asked_is_no_clean_bill(copy, osv):
    nobody = address(osv)
    osv.socket.close()
    done = scan(copy, "--only", "dependencies", "--osv-url", nobody.replace("/v1", "/gone"))
    assert done.returncode == 1
    assert "onnection" in done.stderr  # what went wrong, in the words of pip-audit
    assert "nothing is proved" in done.stderr


def test_a_planted_key_is_found_and_those_of_the_tests_are_known(copy):
    for words in (["init", "-q"], ["add", "-A", "-f", "--", "script"]):
        subprocess.run(["git", *words], cwd=copy, check=True, timeout=60, capture_output=True)
    assert scan(copy, "--only", "secrets").returncode == 0
    begin = "-----BEGIN EC PRIVATE " + "KEY-----"
    (copy / "deploy" / "key.pem").write_text(f"{begin}\nMHcCAQEE\n")
    subprocess.run(["git", "add", "-f", "deploy"], cwd=copy, check=True, timeout=60)
    done = scan(copy, "--only", "secrets")
    assert done.returncode == 1
    assert "deploy/key.pem" in done.stdout
    assert "script/scan: secrets: fix: revoke a real secret first" in done.stderr


def test_a_licence_that_is_not_on_the_list_is_found(copy):
    file = copy / "script" / "scan"
    file.write_text(file.read_text().replace('"LGPL-3.0-only" ', ""))
    # The environment is that of the tests: nothing is to be installed into it.
    with (copy / "script" / "environment").open("a") as environment:
        environment.write("make_environment() { :; }\n")
    done = scan(copy, "--only", "licences")
    assert done.returncode == 1
    assert "psycopg" in done.stdout + done.stderr
    assert "script/scan: licences: fix: read the licence" in done.stderr


def path_without_trivy(folder):
    """Return a PATH with the few programs that this scan needs."""
    folder.mkdir()
    for program in ("bash", "dirname", "sed"):
        (folder / program).symlink_to(shutil.which(program))
    return str(folder)


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_missing_scanner_is_named_and_fails_in_ci(copy, tmp_path, ci, code):
    path = path_without_trivy(tmp_path / "bin")
    done = scan(copy, "--only", "trivy", path=path, ci=ci)
    assert done.returncode == code
    assert "install it: https://trivy.dev/" in done.stderr


def test_what_trivy_finds_fails_with_what_to_do(copy, tmp_path):
    """A stand-in: Trivy itself cannot be had in the tests."""
    path = path_without_trivy(tmp_path / "bin")
    stand_in = tmp_path / "bin" / "trivy"
    stand_in.write_text('#!/bin/bash\nprintf "%s\\n" "$*" >> "$HOME/asked"\n[ "$1" != image ]\n')
    stand_in.chmod(0o755)
    done = scan(copy, "--only", "trivy", "--image", "secureml", path=path)
    assert done.returncode == 1
    assert "script/scan: trivy image: fix: build the image again" in done.stderr
    checkout, image = (copy / "asked").read_text().splitlines()
    assert checkout.startswith("filesystem --exit-code 1 ")
    assert image.startswith("image --exit-code 1 ")
    assert image.endswith(" secureml")


@pytest.mark.parametrize("words", [["--only", "nonsense"], ["--nonsense"]])
def test_a_word_that_is_unknown_is_refused(copy, words):
    done = scan(copy, *words)
    assert done.returncode == 2
    assert "script/scan [--only" in done.stderr
