"""Gunicorn under deploy/gunicorn.conf.py: its socket, its deaf ear for headers, its words."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from live_certificates import make_certificates
from live_servers import CHECKOUT
from live_unit import PASS_ON

if TYPE_CHECKING:
    from pathlib import Path

    from live_servers import Gunicorn

pytestmark = pytest.mark.live


def ask(gunicorn: Gunicorn, *headers: str, line: str = "GET /a/b HTTP/1.1") -> tuple[str, Any]:
    request = [line, "Host: localhost", "Connection: close", *headers, "", ""]
    head, _, body = gunicorn.raw("\r\n".join(request).encode()).partition(b"\r\n\r\n")
    return head.decode(), json.loads(body)


def test_the_socket_is_for_owner_and_group_alone(gunicorn: Gunicorn) -> None:
    assert stat.S_IMODE(gunicorn.socket.stat().st_mode) == 0o660


def test_no_forwarding_header_is_believed_over_the_socket(gunicorn: Gunicorn) -> None:
    forged = ["X-Forwarded-Proto: https", "X-Forwarded-Protocol: ssl", "X-Forwarded-Ssl: on"]
    forged += ["SCRIPT_NAME: /a", "PATH_INFO: /evil", "Script-Name: /a"]
    _, seen = ask(gunicorn, *forged)
    assert (seen["scheme"], seen["path"], seen["script_name"]) == ("http", "/a/b", "")


def test_an_underscore_twin_is_dropped(gunicorn: Gunicorn) -> None:
    assert "X_API_KEY" not in ask(gunicorn, "X_Api_Key: forged")[1]["headers"]


def test_the_server_does_not_name_its_kind(gunicorn: Gunicorn) -> None:
    assert "gunicorn" not in ask(gunicorn)[0].lower()


def test_maths_libraries_get_one_thread(gunicorn: Gunicorn) -> None:
    assert ask(gunicorn)[1]["threads"] == "1"


def test_no_control_socket_is_opened(gunicorn: Gunicorn) -> None:
    home = gunicorn.socket.parent.parent
    assert [path for path in home.rglob("*") if path.is_socket()] == [gunicorn.socket]


@pytest.mark.parametrize(
    ("line", "headers", "status", "code"),
    [
        ("<script> / HTTP/1.1", [], 400, "malformed_request"),
        ("GET / HTTP/9.9", [], 400, "malformed_request"),
        ("GET / HTTP/1.1", ["Bad Header: x"], 400, "malformed_request"),
        ("GET / HTTP/1.1", ["Host: twice"], 400, "malformed_request"),
        ("GET / HTTP/1.1", ["Expect: miracles"], 400, "malformed_request"),
        ("GET /" + "a" * 4100 + " HTTP/1.1", [], 414, "uri_too_long"),
        ("GET / HTTP/1.1", ["X-Long: " + "a" * 8200], 431, "headers_too_large"),
        ("GET / HTTP/1.1", [f"X-{n}: x" for n in range(101)], 431, "headers_too_large"),
        ("POST / HTTP/1.1", ["Transfer-Encoding: junk"], 501, "method_not_implemented"),
    ],
)
def test_what_gunicorn_refuses_itself_is_a_problem_that_quotes_nothing(
    gunicorn: Gunicorn, catalogue: Any, line: str, headers: list[str], status: int, code: str
) -> None:
    head, body = ask(gunicorn, *headers, line=line)
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "Content-Type: application/problem+json" in head
    identifier = body.pop("id")
    assert re.fullmatch("[0-9a-f]{32}", identifier)
    title = catalogue[code].title
    kind = f"urn:secureml:problem:{code}"
    assert body == {"type": kind, "title": title, "status": status, "code": code}
    assert gunicorn.logged(identifier)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("[server]\nworkers = 0", "[server] workers: Must be greater"),
        ("[server]\nworkers = true", "[server] workers: This must be a whole number"),
        ('[server]\nthreads = "4"', "[server] threads: This must be a whole number"),
        ("[server]\nwrokers = 2", "[server] wrokers: this key is unknown"),
        ("server = 1", "[server]: this must be a table"),
        ("[server", "is not valid TOML"),
    ],
)
def test_a_bad_server_table_stops_the_start_in_one_line(
    tmp_path: Path, table: str, says: str
) -> None:
    (tmp_path / "secureml.toml").write_text(table, "utf-8")
    conf = str(CHECKOUT / "deploy/gunicorn.conf.py")
    command = [sys.executable, "-m", "gunicorn", "--check-config", "-c", conf, "echo_app"]
    started = subprocess.run(
        command, env=os.environ | {"SECUREML_INSTANCE": str(tmp_path)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert started.returncode == 1
    assert says in started.stderr
    assert len(started.stderr.splitlines()) == 1


PRODUCTION = "[secureml]\nprofile = 'production'\n"
DEVELOPMENT = "[secureml]\nprofile = 'development'\n"
TLS = ["--certfile", "{folder}/server.crt", "--keyfile", "{folder}/server.key"]
# What the settings say, what the command says, and what the refusal names.
EXPOSED = {
    "every address": (DEVELOPMENT, ["--bind", "0.0.0.0:0"], "0.0.0.0 can be reached without Nginx"),
    "every address of IPv6": (DEVELOPMENT, ["--bind", "[::]:0"], ":: can be reached without Nginx"),
    "one of two": (DEVELOPMENT, ["--bind", "127.0.0.1:0", "--bind", "192.0.2.1:0"], "192.0.2.1"),
    "by the settings": (DEVELOPMENT + "[server]\nbind = '0.0.0.0:0'\n", [], "[server] bind: "),
    "in production": (PRODUCTION, ["--bind", "0.0.0.0:0"], "0.0.0.0 can be reached without Nginx"),
    "with TLS in production": (PRODUCTION, TLS, "[secureml] profile: in production Nginx"),
    "with TLS where nothing is said": ("", TLS, "[secureml] profile: in production Nginx"),
}  # fmt: skip


def bare(folder: Path, settings: str, words: list[str], *before: str) -> subprocess.Popen[str]:
    (folder / "run").mkdir()
    (folder / "secureml.toml").write_text(settings, "utf-8")
    make_certificates(folder)
    command = [*before, sys.executable, "-m", "gunicorn", "--chdir", str(CHECKOUT / "tests/live")]
    command += ["-c", str(CHECKOUT / "deploy/gunicorn.conf.py")]
    command += [word.format(folder=folder) for word in words]
    return subprocess.Popen(
        [*command, "echo_app"], env=os.environ | {"SECUREML_INSTANCE": str(folder)},
        stderr=subprocess.PIPE, text=True, pass_fds=[int(before[-1])] if before else [],
    )  # fmt: skip


def refused(started: subprocess.Popen[str], names: str) -> None:
    _, said = started.communicate(timeout=60)
    (line,) = [
        line for line in said.splitlines() if not line.startswith("[20")
    ]  # no log of its own
    assert line.startswith("secureml: ")
    assert names in line
    assert "; fix: " in line
    assert started.returncode == 1


@pytest.mark.parametrize("case", EXPOSED)
def test_gunicorn_does_not_start_where_clients_could_come_past_nginx(
    tmp_path: Path, case: str
) -> None:
    settings, words, names = EXPOSED[case]
    refused(bare(tmp_path, settings, words), names)


def test_nor_on_a_socket_that_systemd_hands_over(tmp_path: Path) -> None:
    with closing(socket.create_server(("0.0.0.0", 0))) as listener:
        before = [sys.executable, "-c", PASS_ON, str(listener.fileno())]
        refused(bare(tmp_path, DEVELOPMENT, [], *before), "0.0.0.0 can be reached without Nginx")
