"""Nginx as the first wall: ceilings by network, odd paths, and what may be kept for everyone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from live_serving import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Servers
    from live_servers import Edge, Gunicorn
    from live_serving import Instance

pytestmark = pytest.mark.live

TIGHT = {"rate=500r/s": "rate=1r/m", "burst=1000": "burst=2"}
# As the file says for a second proxy in front; here it lets a test have any address.
BEHIND = {
    "limit_req_status 429;": "limit_req_status 429; set_real_ip_from 127.0.0.1;"
    " real_ip_header X-Forwarded-For;"
}


def asked(edge: Edge, *addresses: str) -> list[int]:
    return [edge.ask("GET", "/", [("X-Forwarded-For", address)]).status for address in addresses]


def test_clients_behind_a_second_proxy_are_counted_one_by_one(
    servers: Servers, gunicorn: Gunicorn
) -> None:
    edge = servers.edge(gunicorn, ceilings=TIGHT | BEHIND)
    assert asked(edge, *["192.0.2.1"] * 5) == [200] * 3 + [429] * 2
    assert asked(edge, *["192.0.2.2"] * 3) == [200] * 3


def test_an_ipv6_client_is_its_network_and_not_each_of_its_addresses(
    servers: Servers, gunicorn: Gunicorn
) -> None:
    edge = servers.edge(gunicorn, ceilings=TIGHT | BEHIND)
    same = [f"2001:db8:0:7:{n:x}::{n:x}" for n in range(1, 6)]
    assert asked(edge, *same) == [200] * 3 + [429] * 2
    assert asked(edge, "2001:db8:0:8::1", "2001:db8:0:8::2") == [200] * 2


def test_a_client_that_forges_the_header_is_counted_by_its_own_address(
    servers: Servers, gunicorn: Gunicorn
) -> None:
    edge = servers.edge(gunicorn, ceilings=TIGHT)
    answers = [
        edge.ask("GET", "/", [("X-Forwarded-For", f"192.0.2.{n}")], source="127.0.0.3").status
        for n in range(5)
    ]
    assert answers == [200] * 3 + [429] * 2


def test_the_ceilings_hold_on_plain_http_as_well(servers: Servers, gunicorn: Gunicorn) -> None:
    edge = servers.edge(gunicorn, ceilings=TIGHT)
    path = "/.well-known/acme-challenge/x"
    answers = [edge.ask("GET", path, source="127.0.0.4", plain=True).status for _ in range(5)]
    assert answers == [404] * 3 + [429] * 2


ODD = ["//a", "/a//b", "/a/./b", "/a/..", "/a/../b", "/a/%2e/b", "/a/%2E%2e/b", "/a/.%2e/b",
       "/a%2fb", "/a%5cb", "/a\\b", "/a%00b", "/a%0a", "/a%7f", "/./openapi.json"]  # fmt: skip
FINE = ["/", "/a", "/a/", "/a/.b", "/a/..b", "/a/b..", "/.well-known/x", "/a?b=//c/../d%00",
        "/a%20b", "/caf%C3%A9", "/a:b@c;d=e,f", "/~a", "/a/...", "/%41"]  # fmt: skip


@pytest.mark.parametrize("path", ODD)
def test_a_path_that_two_readers_could_read_differently_is_refused(
    edge: Edge, gunicorn: Gunicorn, path: str
) -> None:
    before = len(gunicorn.seen())
    answer = edge.ask("GET", path)
    assert (answer.status, answer.json()["code"]) == (400, "malformed_request")
    assert len(gunicorn.seen()) == before


@pytest.mark.parametrize("path", FINE)
def test_an_ordinary_path_reaches_the_application(edge: Edge, path: str) -> None:
    assert edge.ask("GET", path).status == 200


# -- what may be kept ----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[True, False], ids=["public docs", "guarded docs"])
def documented(
    request: pytest.FixtureRequest,
    prepared: Instance,
    tmp_path_factory: pytest.TempPathFactory,
    tool: Callable[[str, str], str],
) -> Iterator[tuple[Served, Any, bool]]:
    tool("nginx", "apt-get install nginx-light")
    own = prepared.copy(tmp_path_factory.mktemp("docs") / "i")
    file = own.folder / "secureml.toml"
    text = file.read_text().replace('"api_keys",', '"api_keys", "jwt", "api_docs",')
    text += '[plugins.jwt]\nissuer = "https://localhost"\naudience = "ml"\n'
    text += f"[plugins.api_docs]\npublic = {str(request.param).lower()}\n"
    file.write_text(text)
    server = Served(own.folder)
    try:
        yield server.ready(), own, request.param
    finally:
        server.stop()


def reached(server: Served) -> int:
    """Return how many requests the application has written down."""
    return len((server.instance / "logs/access.log").read_text().splitlines())


def test_the_keys_are_kept_for_everyone_but_not_for_a_query_or_a_credential(
    documented: tuple[Served, Any, bool],
) -> None:
    server, own, _ = documented
    path = "/.well-known/jwks.json"
    first = server.ask("GET", path)
    before = reached(server)
    assert [server.ask("GET", path).body for _ in range(5)] == [first.body] * 5
    assert reached(server) == before
    assert server.ask("GET", path + "?access_token=x").json()["code"] == "credential_in_url"
    assert server.ask("GET", path, own.key("reader")).status == 200
    assert reached(server) == before + 2


def test_the_description_is_kept_only_where_it_is_public(
    documented: tuple[Served, Any, bool],
) -> None:
    server, own, public = documented
    key = own.key("second")
    mine = server.ask("GET", "/openapi.json", key)
    assert mine.status == 200
    before = reached(server)
    strangers = [server.ask("GET", "/openapi.json") for _ in range(4)]
    assert {answer.status for answer in strangers} == ({200} if public else {401})
    assert all(b"mean radius" not in answer.body for answer in strangers)
    assert reached(server) - before == (1 if public else 4)
    identifiers = {answer.json().get("id") for answer in strangers}
    assert len(identifiers) == (1 if public else 4)


def test_nothing_else_is_kept(documented: tuple[Served, Any, bool]) -> None:
    server, _, _ = documented
    before = reached(server)
    for path in ("/healthz", "/readyz", "/v1/models", "/nowhere"):
        for _ in range(2):
            server.ask("GET", path)
    assert reached(server) == before + 8
