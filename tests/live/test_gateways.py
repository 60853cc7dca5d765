"""HAProxy and Caddy in Nginx's place, Envoy before Nginx: what the docs promise, for real."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from live_gateways import Behind, Front, caller_token, gateway_token
from live_servers import Answer
from live_serving import PREDICT, until

from tests.outside_issuer import EC, EC_OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from live_servers import Edge
    from live_serving import Instance

pytestmark = pytest.mark.live

TOOLS = (
    "python -m venv .venv/gateways && "
    ".venv/gateways/bin/pip install -r tests/requirements-gateways.txt"
)
JSON = ("Content-Type", "application/json")
BARE = ("X-Gateway-Identity", "acme")


@pytest.fixture(scope="module")
def behind(
    prepared: Instance, tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]
) -> Iterator[Behind]:
    tool("nginx", "apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("gw")
    made = Behind(prepared.copy(folder / "i"), folder / "front")
    yield made
    made.served.stop()


@pytest.fixture(scope="module")
def haproxy(behind: Behind, tool: Callable[[str, str], str]) -> Iterator[Front]:
    front = behind.haproxy(tool("haproxy", "apt-get install haproxy"))
    yield front
    front.stop()


@pytest.fixture(scope="module")
def caddy(behind: Behind, tool: Callable[[str, str], str]) -> Iterator[Front]:
    front = behind.caddy(tool("caddy", TOOLS))
    yield front
    front.stop()


@pytest.fixture(scope="module")
def nginx(behind: Behind, tool: Callable[[str, str], str]) -> Iterator[Edge]:
    edge = behind.nginx(tool("nginx", "apt-get install nginx-light"))
    yield edge
    edge.stop()


@pytest.fixture(scope="module")
def envoy(behind: Behind, nginx: Edge, tool: Callable[[str, str], str]) -> Iterator[Front]:
    front = behind.envoy(tool("envoy", TOOLS), nginx)
    yield front
    front.stop()


@pytest.fixture(params=["haproxy", "caddy"])
def front(request: pytest.FixtureRequest) -> Front:
    found: Front = request.getfixturevalue(request.param)
    return found


def hold(answer: Answer, code: str, catalogue: Any) -> None:
    """Compare a refusal with the catalogue, whoever has worded it."""
    kind, body = catalogue[code], answer.json()
    assert answer.status == kind.status, answer
    assert answer.all("Content-Type") == ["application/problem+json"]
    assert answer.all("Cache-Control") == ["no-store"]
    assert re.fullmatch("[0-9a-f-]{32,36}", body["id"])
    words = {"title": kind.title, "status": kind.status, "code": code, "id": body["id"]}
    assert {**body, "type": None} == {"type": None, **words}
    assert body["type"] == f"urn:secureml:problem:{code}"
    assert bool(answer.all("Allow")) == (kind.status == 405)


def predict(front: Front, behind: Behind, *headers: tuple[str, str], **words: Any) -> Answer:
    return front.ask("POST", PREDICT, JSON, *headers, body=behind.body, **words)


# -- HAProxy and Caddy in Nginx's place ----------------------------------------------------------


def test_a_prediction_passes_with_the_address_of_its_caller(front: Front, behind: Behind) -> None:
    answer = predict(front, behind, ("X-API-Key", behind.key), source="127.0.0.7")
    assert answer.status == 200
    assert answer.json()["predictions"]
    assert behind.line(answer)["address"] == "127.0.0.7"
    assert answer.all("Strict-Transport-Security") == ["max-age=63072000"]
    assert not answer.all("Server")
    assert not answer.all("Via")
    assert not answer.all("X-SecureML-Counted")


def test_attack_forged_headers_of_a_proxy_have_no_effect(front: Front, behind: Behind) -> None:
    """Once, twice, in other letters, and with an underscore."""
    forged = [
        (name, value)
        for name, value in (
            ("X-Forwarded-For", "198.51.100.1"), ("Forwarded", "for=198.51.100.1;proto=http"),
            ("X-Real-IP", "198.51.100.1"), ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Prefix", "/evil"),
            ("X-SecureML-Edge", "guessed"), ("True-Client-IP", "198.51.100.1"),
            ("X-Original-URL", "/metrics"), ("X-HTTP-Method-Override", "DELETE"),
        )
        for name in (name, name.lower(), name.upper().replace("-", "_"))
    ]  # fmt: skip
    answer = predict(front, behind, ("X-API-Key", behind.key), *forged, source="127.0.0.7")
    assert answer.status == 200, answer
    assert behind.line(answer)["address"] == "127.0.0.7"


@pytest.mark.parametrize("name", ["haproxy", "caddy", "envoy"])
def test_attack_forged_headers_have_no_effect_over_http_2(
    request: pytest.FixtureRequest, behind: Behind, tool: Callable[[str, str], str], name: str
) -> None:
    front: Front = request.getfixturevalue(name)
    shown = caller_token() if name == "envoy" else ("X-API-Key", behind.key)
    forged = [("X-Forwarded-For", "198.51.100.1"), ("Forwarded", "for=198.51.100.1")]
    headers = [JSON, shown, *forged, ("X-SecureML-Edge", "guessed")]
    command = [
        tool("curl", "apt-get install curl"), "-s", "--http2", "--cacert", str(front.authority),
        "--interface", "127.0.0.7", "-w", "\n%{http_version}", "-d", behind.body.decode(),
        *(word for pair in headers for word in ("-H", f"{pair[0]}: {pair[1]}")),
        f"https://localhost:{front.port}{PREDICT}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    body, version = done.stdout.rsplit("\n", 1)
    assert version == "2"
    assert behind.line(Answer(200, [], body.encode()))["address"] == "127.0.0.7"
    assert "predictions" in body


def test_attack_a_certificate_or_an_identity_in_a_header_is_refused(
    front: Front, behind: Behind, catalogue: Any
) -> None:
    """Nobody wrote it but the caller; what it says is in no log as a client."""
    shown = [
        ("X-SecureML-Client-Cert", behind.leaf.header), ("X-SecureML-Client-Verify", "SUCCESS"),
    ]  # fmt: skip
    for headers in ([BARE], [BARE, *shown], [("X-Gateway-Identity", "bob"), *shown]):
        answer = predict(front, behind, ("X-API-Key", behind.key), *headers)
        assert (answer.status, answer.json()["code"]) == (403, "gateway.unproven")
        line = behind.line(answer)
        assert (line["client"], line["reason"]) == ("", "gateway.no_proof")
        assert behind.audited(answer, "malicious_gateway_header")


def test_the_token_of_a_gateway_names_the_caller_and_a_forged_one_does_not(
    front: Front, behind: Behind
) -> None:
    answer = predict(front, behind, gateway_token(jti="live-1"))
    assert answer.status == 200, answer
    line = behind.line(answer)
    assert (line["client"], line["auth"]) == ("acme", "gateway")
    assert line["credential"] == "signing:live-1"
    forged = predict(front, behind, gateway_token(EC_OTHER))
    assert (forged.status, forged.json()["code"]) == (401, "unauthorized")
    assert behind.audited(forged, "malicious_gateway_header")
    assert predict(front, behind, gateway_token(aud="other")).status == 401
    twice = predict(front, behind, gateway_token(), gateway_token())
    assert twice.status in (400, 403)


TLS = [
    (ssl.TLSVersion.TLSv1_1, "DEFAULT@SECLEVEL=0", False),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256", True),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA384", False),
    (ssl.TLSVersion.TLSv1_2, "AES128-SHA", False),
    (ssl.TLSVersion.TLSv1_3, "DEFAULT", True),
]


@pytest.mark.parametrize("name", ["haproxy", "caddy", "envoy"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_only_tls_1_2_and_1_3_with_the_suites_of_the_profile(
    request: pytest.FixtureRequest, name: str
) -> None:
    front = request.getfixturevalue(name)
    for version, suites, accepted in TLS:
        trust = front.trust()
        trust.minimum_version = trust.maximum_version = version
        trust.set_ciphers(suites)
        with closing(socket.create_connection(("127.0.0.1", front.port), timeout=15)) as channel:
            try:
                trust.wrap_socket(channel, server_hostname="localhost").close()
            except (ssl.SSLError, ConnectionError):
                assert not accepted, (version, suites)
            else:
                assert accepted, (version, suites)


def test_refusals_are_problem_documents_with_the_codes_of_the_catalogue(
    front: Front, behind: Behind, catalogue: Any
) -> None:
    key = ("X-API-Key", behind.key)
    for code, answer in {
        "method_not_allowed": front.ask("TRACE", "/v1/models", key),
        "misdirected_request": front.ask("GET", "/v1/models", key, host="evil.example"),
        "headers_too_large": front.ask("GET", "/v1/models", ("X-Long", "x" * 9000)),
        "body_too_large": front.ask("POST", PREDICT, JSON, key, body=b" " * 1_200_000),
        "malformed_json": front.ask("POST", PREDICT, JSON, key, body=b"{"),
        "unauthorized": front.ask("GET", "/metrics"),
        "insecure_transport": front.ask("GET", "/v1/models", plain=True),
    }.items():
        hold(answer, code, catalogue)


def test_headers_beyond_what_the_docs_name_are_refused_as_they_say(
    haproxy: Front, caddy: Front, catalogue: Any
) -> None:
    """In lines of 1 KB each, which the application takes one by one."""

    def answer_to(front: Front, kilobytes: int) -> Answer:
        long = [(f"X-Long-{number}", "x" * 1024) for number in range(kilobytes)]
        return front.ask("GET", "/healthz", *long)

    for front in (haproxy, caddy):
        assert answer_to(front, 20).status == 200
    hold(answer_to(haproxy, 40), "headers_too_large", catalogue)
    malformed = answer_to(haproxy, 70)
    assert malformed.status == 400
    assert malformed.all("Content-Type") == ["text/html"]
    refused = answer_to(caddy, 40)
    assert refused.status == 431
    assert refused.all("Content-Type") == ["text/plain; charset=utf-8"]


@pytest.mark.parametrize(
    "path", ["/v1//models", "/v1/../healthz", "/v1/%2e%2e/healthz", "/v1/a%2Fb", "/v1/%5c", "/%00"]
)
def test_attack_a_path_that_two_readers_could_read_differently(
    front: Front, catalogue: Any, path: str
) -> None:
    hold(front.ask("GET", path), "malformed_request", catalogue)


def test_health_is_answered_by_any_name_and_status_by_none(front: Front) -> None:
    assert front.ask("GET", "/healthz", host="10.0.0.1").status == 200
    for path in ("/status", "/haproxy", "/stats", "/config/", "/admin"):
        assert front.ask("GET", path).status == 401


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        ([b"Host: localhost", b"Host: evil.example"], (400, 400)),
        ([b"Host: localhost", b"Content-Length: 4", b"Content-Length: 5"], (400, 400)),
        ([b"Host: localhost", b"Transfer-Encoding: chunked, identity"], (400, 501)),
        ([b"Host: localhost", b"Bad Header: x"], (400, 400)),
        ([b"Host: localhost", b"X-API-Key: a", b"X-API-Key: b"], (400, 401)),
        ([], (421, 400)),
    ],
)
@pytest.mark.parametrize("name", ["haproxy", "caddy"])
def test_attack_headers_that_count_once_are_not_taken_twice(
    request: pytest.FixtureRequest, name: str, lines: list[bytes], statuses: tuple[int, int]
) -> None:
    """As the table of docs/gateways.md says."""
    front = request.getfixturevalue(name)
    sent = b"\r\n".join([b"POST /v1/models HTTP/1.1", *lines, b"Connection: close"])
    answered = front.raw(sent + b"\r\n\r\n0\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 %d " % statuses[name == "caddy"]), answered[:200]
    assert answered.count(b"HTTP/1.1 ") == 1


def test_attack_a_second_request_in_the_body_of_the_first(front: Front, behind: Behind) -> None:
    """Both lengths at once (CL.TE): whichever counts, no second request is answered."""
    inner = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-API-Key: "
    inner += behind.key.encode() + b"\r\n\r\n"
    head = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
    head += b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
    answered = front.raw(head % (len(inner) + 5) + inner)
    assert b"breast-cancer" not in answered
    assert answered.count(b"HTTP/1.1 ") <= 1


def test_no_key_and_no_query_is_in_the_log_of_the_gateway(front: Front, behind: Behind) -> None:
    predict(front, behind, ("X-API-Key", behind.key))
    front.ask("GET", "/v1/models?api_key=in-the-query", ("X-API-Key", behind.key))
    predict(front, behind, gateway_token())
    for secret in (behind.key, "in-the-query", behind.edge_token, "eyJ"):
        assert secret not in front.output()


def test_an_application_that_is_gone_is_a_problem_document(
    behind: Behind, tool: Callable[[str, str], str], catalogue: Any, tmp_path: Path
) -> None:
    gone = {str(behind.socket): str(tmp_path / "none.sock")}
    for make, program, code in (
        (behind.haproxy, tool("haproxy", "apt-get install haproxy"), "unavailable"),
        (behind.caddy, tool("caddy", TOOLS), "bad_gateway"),
    ):
        front = make(program, f"gone-{code}", **gone)
        try:
            hold(front.ask("GET", "/healthz"), code, catalogue)
        finally:
            front.stop()


SLOW = b"POST /v1/models/slow/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"


def test_attack_a_body_that_does_not_come_is_given_up_by_haproxy(
    behind: Behind, tool: Callable[[str, str], str]
) -> None:
    """Ten seconds in the file, one here: the application never hears of the request."""
    quick = {"timeout http-request 10s": "timeout http-request 1s"}
    front = behind.haproxy(tool("haproxy", "apt-get install haproxy"), "slow-haproxy", **quick)
    try:
        answered = front.raw(SLOW)
        assert answered.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in answered
    finally:
        front.stop()
    assert "slow" not in (behind.instance.folder / "logs/access.log").read_text("utf-8")


def test_attack_a_body_that_does_not_come_is_given_up_by_caddy(
    behind: Behind, tool: Callable[[str, str], str]
) -> None:
    quick = {"read_body 10s": "read_body 1s"}
    front = behind.caddy(tool("caddy", TOOLS), "slow-caddy", **quick)
    try:
        with closing(front.channel()) as channel:
            channel.sendall(SLOW)
            assert until(lambda: "/v1/models/slow/predict" in front.output())
    finally:
        front.stop()
    assert "slow" not in (behind.instance.folder / "logs/access.log").read_text("utf-8")


def test_haproxy_limits_an_address_and_says_when_to_come_again(
    behind: Behind, tool: Callable[[str, str], str], catalogue: Any
) -> None:
    few = {"sc0_http_req_rate gt 6000": "sc0_http_req_rate gt 3"}
    front = behind.haproxy(tool("haproxy", "apt-get install haproxy"), "limited", **few)
    try:
        answers = [front.ask("GET", "/healthz", source="127.0.0.7") for _ in range(5)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
        hold(answers[-1], "rate_limited", catalogue)
        assert answers[-1].all("Retry-After") == ["1"]
        assert front.ask("GET", "/healthz", source="127.0.0.8").status == 200
    finally:
        front.stop()


def test_haproxy_passes_on_the_certificate_that_it_has_verified(
    behind: Behind, tool: Callable[[str, str], str], tmp_path: Path
) -> None:
    """With the lines that are comments in the file."""
    authority = tmp_path / "clients.crt"
    authority.write_bytes(behind.gateways.own.pem)
    lines = {
        "alpn h2,http/1.1\n": f"alpn h2,http/1.1 ca-file {authority} verify optional\n",
        "    #http-request set-header": "    http-request set-header",
    }
    front = behind.haproxy(tool("haproxy", "apt-get install haproxy"), "mtls", **lines)
    try:
        for minted, expected in ((behind.leaf, "200"), (behind.stranger, "403")):
            assert (
                asked_with(tool, minted, front.authority, front.port, behind, tmp_path) == expected
            )
        assert predict(front, behind, ("X-Gateway-Identity", "bob")).status == 403
    finally:
        front.stop()


def test_haproxy_does_not_start_without_the_edge_token(
    behind: Behind, tool: Callable[[str, str], str]
) -> None:
    file = Path(__file__).parents[2] / "deploy/gateways/haproxy.cfg"
    done = subprocess.run(
        [tool("haproxy", "apt-get install haproxy"), "-c", "-f", str(file)],
        capture_output=True, text=True, timeout=30, check=False, env={},
    )  # fmt: skip
    assert done.returncode != 0
    assert "SECUREML_EDGE_TOKEN is not set" in done.stderr


# -- Envoy before Nginx, which knows it by its certificate ---------------------------------------


def test_envoy_names_the_caller_that_it_has_verified(envoy: Front, behind: Behind) -> None:
    forged = [("X-Gateway-Identity", "mallory"), ("X-Forwarded-For", "198.51.100.1")]
    for headers in ([], forged):
        answer = predict(envoy, behind, caller_token(), *headers, source="127.0.0.9")
        assert answer.status == 200, answer
        line = behind.line(answer)
        assert (line["client"], line["auth"], line["credential"]) == ("acme", "gateway", "envoy")
        assert line["address"] == "127.0.0.9"
        assert answer.all("Strict-Transport-Security") == ["max-age=63072000"]


def test_who_shows_envoy_no_good_token_is_refused_there(
    envoy: Front, behind: Behind, catalogue: Any
) -> None:
    for headers in ([], [caller_token(EC)], [caller_token(exp=1)], [BARE]):
        answer = predict(envoy, behind, *headers)
        assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
    assert predict(envoy, behind, caller_token(sub="nobody")).json()["code"] == "unauthorized"
    assert envoy.ask("GET", "/metrics").status == 404
    assert envoy.ask("GET", "/healthz", ("X_Forwarded_For", "1.2.3.4")).status == 400
    assert envoy.ask("GET", "/healthz", host="evil.example").status == 404
    assert envoy.ask("GET", "/healthz").status == 200


def test_attack_the_identity_header_straight_to_nginx(nginx: Edge, behind: Behind) -> None:
    """Without a certificate, with that of another machine of the same authority, and replayed."""
    bob = ("X-Gateway-Identity", "bob")
    shown = [
        ("X-SecureML-Client-Cert", behind.leaf.header),
        ("X-SecureML-Client-Verify", "SUCCESS"),
    ]
    for headers in ([bob], [bob, *shown]):
        answer = nginx.ask("GET", "/v1/models", headers, source="127.0.0.7")
        assert (answer.status, answer.json()["code"]) == (403, "gateway.unproven")
        assert behind.audited(answer, "malicious_gateway_header")
        assert behind.line(answer)["address"] == "127.0.0.7"


def test_attack_another_certificate_of_the_same_authority(
    nginx: Edge, behind: Behind, tool: Callable[[str, str], str], tmp_path: Path
) -> None:
    """Also to the Nginx of `secureml serve`, which asks because the authority's file is there."""
    ours = behind.instance.folder / "tls/ca.crt"
    for minted, expected in ((behind.leaf, "200"), (behind.stranger, "403")):
        for authority, port in ((nginx.authority, nginx.port), (ours, behind.served.port)):
            assert asked_with(tool, minted, authority, port, behind, tmp_path) == expected


def asked_with(
    tool: Callable[[str, str], str], minted: Any, authority: Path, port: int, behind: Behind,
    folder: Path,
) -> str:  # fmt: skip
    """Ask for a prediction for bob with a certificate, and return the status."""
    certificate, key = minted.write(folder, "shown")
    command = [
        tool("curl", "apt-get install curl"), "-s", "-o", "/dev/null", "-w", "%{http_code}",
        "--cacert", str(authority), "--cert", str(certificate), "--key", str(key),
        "-H", "X-Gateway-Identity: bob", "-H", "Content-Type: application/json",
        "-d", behind.body.decode(), f"https://localhost:{port}{PREDICT}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout
