"""One error contract for Nginx, Gunicorn and the application, from 400 to 504.

Each status is provoked from each layer that can give it: same shape, same codes, and an id
that finds the log line. Nginx never sends 408 (it closes the connection), never 401, 415, 422
(it knows neither callers nor bodies) and never 503 (a server that is gone is 502).
"""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import IMPATIENT, Answer
from live_serving import PREDICT, Served, UnixConnection, ask, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Servers
    from live_servers import Edge, Gunicorn
    from live_serving import Instance

pytestmark = pytest.mark.live

HEAD = b"Host: localhost\r\nConnection: close\r\n"


def of_bytes(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(int(first.split()[1]), headers, body)


def hold(answer: Answer, code: str, catalogue: Any) -> str:
    """Hold an answer to the contract and return its id."""
    kind = catalogue[code]
    body = answer.json()
    assert answer.status == kind.status
    assert answer.all("Content-Type") == ["application/problem+json"]
    assert answer.all("Cache-Control") == ["no-store"]
    assert re.fullmatch("[0-9a-f]{32}", body["id"])
    body.pop("errors", None)
    words = {"title": kind.title, "status": kind.status, "code": code, "id": body["id"]}
    assert body == {"type": f"urn:secureml:problem:{code}", **words}
    assert bool(answer.all("Allow")) == (kind.status == 405)
    assert not answer.all("WWW-Authenticate") or kind.status in {401, 403}
    for header in answer.all("Retry-After"):
        assert int(header) > 0
    identifier: str = body["id"]
    return identifier


def line_of(file: Path, identifier: str) -> dict[str, Any]:
    """Return the one JSON line of a log that holds an id; it is written after the answer."""
    assert until(lambda: identifier in file.read_text("utf-8"))
    (line,) = [text for text in file.read_text("utf-8").splitlines() if identifier in text]
    found: dict[str, Any] = json.loads(line)
    return found


# -- Nginx ---------------------------------------------------------------------------------------

SENT = {
    "malformed_request": b"G\x00T / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "method_not_allowed": b"TRACE / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "body_too_large": b"POST / HTTP/1.1\r\n"
    + HEAD
    + b"Content-Length: 1048577\r\n\r\n"
    + b"a" * 1048577,
    "uri_too_long": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "misdirected_request": b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "headers_too_large": b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 9000 + b"\r\n\r\n",
    "method_not_implemented": b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: x\r\n\r\n",
}


@pytest.mark.parametrize("code", SENT)
def test_what_nginx_refuses_by_reading(edge: Edge, catalogue: Any, code: str) -> None:
    answer = of_bytes(edge.raw(SENT[code]))
    line = line_of(edge.folder / "access.log", hold(answer, code, catalogue))
    assert line["status"] == catalogue[code].status
    assert line["upstream"] == ""


def test_what_nginx_refuses_on_plain_http(edge: Edge, catalogue: Any) -> None:
    emitted = {"/": "insecure_transport", "/.well-known/acme-challenge/x": "not_found"}
    for path, code in emitted.items():
        answer = edge.ask("GET", path, plain=True)
        assert line_of(edge.folder / "access.log", hold(answer, code, catalogue))
    wrong = of_bytes(edge.raw(b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n", tls=False))
    assert line_of(edge.folder / "access.log", hold(wrong, "insecure_transport", catalogue))


def test_what_nginx_refuses_for_the_servers_behind_it(
    servers: Servers, gunicorn: Gunicorn, catalogue: Any, tmp_path: Path
) -> None:
    gone = servers.edge(tmp_path / "nobody.sock")
    slow = servers.edge(gunicorn, sites={"application": IMPATIENT})
    for edge, path, code in ((gone, "/", "bad_gateway"), (slow, "/hang", "gateway_timeout")):
        line = line_of(edge.folder / "access.log", hold(edge.ask("GET", path), code, catalogue))
        assert line["upstream_status"] == str(catalogue[code].status)


def test_what_nginx_refuses_for_its_ceilings_and_its_own_faults(
    servers: Servers, gunicorn: Gunicorn, catalogue: Any
) -> None:
    each_has_a_line = {"{ 1% 1; ": "{ 100% 1; "}
    low = {"rate=500r/s": "rate=1r/m", "burst=1000": "burst=1", **each_has_a_line}
    strict = servers.edge(gunicorn, ceilings=low)
    answers = [strict.ask("GET", "/", source="127.0.0.2") for _ in range(3)]
    assert answers[-1].all("Retry-After") == ["1"]
    line = line_of(strict.folder / "access.log", hold(answers[-1], "rate_limited", catalogue))
    assert line["stands_for"] == 100
    broken = servers.edge(gunicorn)
    (broken.folder / "body_temp").rmdir()  # a disk that takes no more, as far as nginx can tell
    answer = broken.ask("POST", "/", body=b"a" * 500_000)
    assert line_of(broken.folder / "access.log", hold(answer, "internal_error", catalogue))


def test_nginx_closes_where_others_would_say_408(servers: Servers, gunicorn: Gunicorn) -> None:
    slow = {"client_body_timeout 10s": "client_body_timeout 1s"}
    edge = servers.edge(gunicorn, edits=slow)
    sent = b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na"
    assert edge.raw(sent) == b""
    log = edge.folder / "access.log"
    assert until(lambda: '"path":"/slow"' in log.read_text("utf-8"))
    assert json.loads(log.read_text("utf-8").splitlines()[-1])["status"] == 408


# -- Gunicorn, behind Nginx where Nginx lets it through --------------------------------------------

THROUGH = {
    "uri_too_long": b"GET /" + b"a" * 4200 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "headers_too_large": b"GET / HTTP/1.1\r\n"
    + HEAD
    + b"".join(b"X-%d: x\r\n" % n for n in range(101))
    + b"\r\n",
}
STRAIGHT = {
    "malformed_request": b"<x> / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "uri_too_long": THROUGH["uri_too_long"],
    "headers_too_large": THROUGH["headers_too_large"],
    "method_not_implemented": SENT["method_not_implemented"],
}


@pytest.mark.parametrize("code", THROUGH)
def test_what_gunicorn_refuses_through_nginx(
    edge: Edge, gunicorn: Gunicorn, catalogue: Any, code: str
) -> None:
    identifier = hold(of_bytes(edge.raw(THROUGH[code])), code, catalogue)
    assert gunicorn.logged(f"answered {code}, id {identifier}")


@pytest.mark.parametrize("code", STRAIGHT)
def test_what_gunicorn_refuses_at_its_own_socket(
    gunicorn: Gunicorn, catalogue: Any, code: str
) -> None:
    identifier = hold(of_bytes(gunicorn.raw(STRAIGHT[code])), code, catalogue)
    assert gunicorn.logged(f"answered {code}, id {identifier}")


# -- the application ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faulty(
    prepared: Instance, tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]
) -> Iterator[tuple[Served, str]]:
    """The whole application with a plugin that fails on demand, and a key that may only predict."""
    tool("nginx", "apt-get install nginx-light")
    own = prepared.copy(tmp_path_factory.mktemp("faulty") / "i")
    file = own.folder / "secureml.toml"
    faults = '"transport", "tests.live.fault_plugin:Faults",'
    file.write_text(file.read_text().replace('"transport",', faults, 1))
    key = own.key("caller", scopes=["predict"])
    server = Served(own.folder)
    try:
        yield server.ready(), key
    finally:
        server.stop()


def hold_both(server: Served, answer: Answer, code: str, catalogue: Any) -> dict[str, Any]:
    """Hold an answer to the contract; its line in our log leads to Nginx's."""
    line = line_of(server.instance / "logs/access.log", hold(answer, code, catalogue))
    assert (line["status"], line["code"]) == (answer.status, code)
    outside = line_of(server.instance / "logs/nginx.log", line["foreign_id"])
    assert outside["upstream_status"] == str(answer.status)
    return line


def catalogue_codes() -> list[str]:
    from secureml.pipeline.problems import CATALOGUE

    return [code for code, kind in CATALOGUE.items() if kind.status != 405]


@pytest.mark.parametrize("code", catalogue_codes())
def test_every_refusal_of_the_application_passes_nginx_as_it_was_worded(
    faulty: tuple[Served, str], catalogue: Any, code: str
) -> None:
    server, key = faulty
    answer = server.ask("GET", "/v1/models", key, X_Fault=code)
    assert hold_both(server, answer, code, catalogue)["reason"] == "faults.asked"


ASKED: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "unauthorized": ("GET", "/nowhere", None, {"X_API_Key": "wrong"}),
    "forbidden": ("GET", "/v1/models", None, {}),
    "not_found": ("GET", "/nowhere", None, {}),
    "method_not_allowed": ("DELETE", "/healthz", None, {}),
    "malformed_json": ("POST", PREDICT, b"{", {}),
    "unsupported_media_type": ("POST", PREDICT, b"{}", {"Content_Type": "text/plain"}),
    "invalid_input": ("POST", PREDICT, {"instances": [[1]]}, {}),
}


@pytest.mark.parametrize("code", ASKED)
def test_what_a_caller_gets_for_what_it_sends(
    faulty: tuple[Served, str], catalogue: Any, code: str
) -> None:
    server, key = faulty
    method, path, body, more = ASKED[code]
    answer = server.ask(method, path, "" if "X_API_Key" in more else key, body, **more)
    hold_both(server, answer, code, catalogue)


def test_a_bug_is_a_500_whose_id_finds_the_traceback(
    faulty: tuple[Served, str], catalogue: Any
) -> None:
    server, key = faulty
    answer = server.ask("GET", "/v1/models", key, X_Fault="bug")
    line = hold_both(server, answer, "internal_error", catalogue)
    assert b"canary-of-a-traceback" not in answer.body
    assert server.printed(f"{line['id']}.*canary-of-a-traceback")


def test_a_request_that_nginx_did_not_send_is_refused_the_same_way(
    faulty: tuple[Served, str], catalogue: Any
) -> None:
    server, key = faulty
    with closing(UnixConnection(server.instance)) as connection:
        straight = ask(connection, "GET", "/healthz", key)
    identifier = hold(straight, "forbidden", catalogue)
    assert line_of(server.instance / "logs/access.log", identifier)["foreign_id"] == ""
    with closing(UnixConnection(server.instance)) as connection:
        other = ask(connection, "GET", "/v1/models", Host="evil.example", **connection.edge)
    hold(other, "misdirected_request", catalogue)
