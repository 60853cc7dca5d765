"""Gunicorn under deploy/gunicorn.conf.py: its socket, its deaf ear for headers, its words."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import CHECKOUT

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
        ("[server]\nworkers = 0", "[server] workers: 0 is refused"),
        ("[server]\nworkers = true", "[server] workers: True is refused"),
        ('[server]\nthreads = "4"', "[server] threads: '4' is refused"),
        ("[server]\nwrokers = 2", "[server] wrokers: unknown key"),
        ("server = 1", "[server]: must be a table"),
        ("[server", "make it readable TOML"),
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
