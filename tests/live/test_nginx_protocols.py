"""TLS, HTTP/2, ceilings and several servers behind the bundled nginx.conf, for real."""

from __future__ import annotations

import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from live_servers import IMPATIENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Servers
    from live_servers import Edge, Gunicorn

pytestmark = pytest.mark.live


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input="", capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("flags", "accepted"),
    [
        (["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], False),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], True),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"], False),
        (["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"], False),
        (["-tls1_3"], True),
        (["-tls1_3", "-groups", "P-521"], False),
    ],
)
def test_only_the_protocols_suites_and_groups_of_the_profile(
    edge: Edge, tool: Callable[[str, str], str], flags: list[str], accepted: bool
) -> None:
    openssl = tool("openssl", "apt-get install openssl")
    address = f"127.0.0.1:{edge.port}"
    shown = run(openssl, "s_client", "-connect", address, "-servername", "localhost", *flags)
    assert (shown.returncode == 0) == accepted, shown.stderr
    assert accepted or "alert" in shown.stderr


def test_sslyze_calls_it_mozilla_intermediate(edge: Edge, tool: Callable[[str, str], str]) -> None:
    sslyze = tool(
        "sslyze",
        "python -m venv .venv/scan && .venv/scan/bin/pip install -r tests/requirements-scan.txt",
    )
    trust = f"--certinfo_ca_file={edge.authority}"
    scan = run(sslyze, trust, "--mozilla_config=intermediate", f"localhost:{edge.port}")
    assert scan.returncode == 0, scan.stdout
    assert "Compliant" in scan.stdout


def fetch(edge: Edge, curl: str, *flags: str) -> str:
    show = ["-sS", "--http2", "--cacert", str(edge.authority), "-o", "/dev/null"]
    show += ["-w", "%{http_version} %{http_code} %{content_type}"]
    return run(curl, *show, *flags, f"https://localhost:{edge.port}/").stdout


def test_http2_carries_answers_and_refusals(edge: Edge, tool: Callable[[str, str], str]) -> None:
    curl = tool("curl", "apt-get install curl")
    assert fetch(edge, curl) == "2 200 application/json"
    problem = "application/problem+json"
    assert fetch(edge, curl, "-X", "TRACE") == f"2 405 {problem}"
    assert fetch(edge, curl, "-H", "Host: evil.example") == f"2 421 {problem}"


def test_headers_too_large_for_http2_never_arrive(
    edge: Edge, tool: Callable[[str, str], str]
) -> None:
    curl = tool("curl", "apt-get install curl")
    many = [f"-HX-Long-{n}: " + "a" * 7000 for n in range(5)]
    # nginx 1.22 resets the stream instead of answering 431; newer ones may do either.
    for flags in (many, ["-HX-Long: " + "a" * 40000]):
        assert fetch(edge, curl, *flags).split()[1] in {"000", "431"}


def test_http2_headers_cannot_be_forged_either(edge: Edge, tool: Callable[[str, str], str]) -> None:
    curl = tool("curl", "apt-get install curl")
    forged = [f"-H{name}: forged" for name in ("x-forwarded-for", "x_forwarded_for", "x-real-ip")]
    seen = run(curl, "-sS", "--http2", "--cacert", str(edge.authority), *forged * 2,
               f"https://localhost:{edge.port}/").stdout  # fmt: skip
    assert '"path": "/"' in seen
    assert "forged" not in seen


def test_the_connection_to_gunicorn_is_kept_open(edge: Edge) -> None:
    counts = [edge.ask("GET", "/").json()["on_connection"] for _ in range(5)]
    assert counts[-1] == counts[0] + 4


def test_the_ceilings_hold_for_others_but_not_for_this_machine(
    servers: Servers, gunicorn: Gunicorn
) -> None:
    edge = servers.edge(gunicorn, ceilings={"rate=500r/s": "rate=1r/m", "burst=1000": "burst=2"})
    assert {edge.ask("GET", "/").status for _ in range(6)} == {200}
    answers = [edge.ask("GET", "/", source="127.0.0.2") for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 3
    assert answers[-1].json()["code"] == "rate_limited"
    assert answers[-1].all("Retry-After") == ["1"]
    assert answers[-1].all("Strict-Transport-Security") == ["max-age=63072000"]


def test_one_connection_too_many_is_refused(servers: Servers, gunicorn: Gunicorn) -> None:
    edge = servers.edge(gunicorn, ceilings={"connections 100": "connections 1"})
    first = edge.connect(source="127.0.0.2")
    with closing(first):
        first.putrequest("POST", "/")
        first.putheader("Content-Length", "1")
        first.endheaders()  # and the body never comes, so the request stays
        assert edge.ask("GET", "/", source="127.0.0.2").status == 429


def test_a_missing_server_is_a_bad_gateway(servers: Servers, tmp_path: Path) -> None:
    answer = servers.edge(tmp_path / "nobody.sock").ask("POST", "/")
    assert (answer.status, answer.json()["code"]) == (502, "bad_gateway")
    assert answer.all("Strict-Transport-Security") == ["max-age=63072000"]


def test_a_silent_server_is_a_gateway_timeout(servers: Servers, gunicorn: Gunicorn) -> None:
    edge = servers.edge(gunicorn, sites={"application": IMPATIENT})
    answer = edge.ask("GET", "/hang")
    assert (answer.status, answer.json()["code"]) == (504, "gateway_timeout")


def test_a_body_that_dribbles_in_is_cut_off(servers: Servers, gunicorn: Gunicorn) -> None:
    edge = servers.edge(gunicorn, edits={"client_body_timeout 10s": "client_body_timeout 1s"})
    assert edge.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na") == b""


def test_a_header_that_dribbles_in_is_cut_off(servers: Servers, gunicorn: Gunicorn) -> None:
    edge = servers.edge(gunicorn, edits={"client_header_timeout 10s": "client_header_timeout 1s"})
    assert edge.raw(b"GET / HTTP/1.1\r\nHost: local") == b""


def test_two_servers_share_the_load_and_one_may_die(servers: Servers) -> None:
    one, two = servers.gunicorn("one"), servers.gunicorn("two")
    edge = servers.edge(one, two)
    answered = [edge.ask("GET", "/").json()["server"] for _ in range(10)]
    assert answered.count("one") == answered.count("two") == 5
    one.stop()
    assert {edge.ask("GET", "/").json()["server"] for _ in range(6)} == {"two"}


def test_a_post_that_has_left_is_never_sent_twice(servers: Servers, tmp_path: Path) -> None:
    one, two = servers.gunicorn("one"), servers.gunicorn("two")
    edge = servers.edge(one, two)
    answer = edge.ask("POST", "/crash")
    assert (answer.status, answer.json()["code"]) == (502, "bad_gateway")
    assert one.crashes() + two.crashes() == ["POST"]
