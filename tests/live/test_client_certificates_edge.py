"""What Nginx itself says of client certificates, and that it asks for none unless it is told to."""

from __future__ import annotations

import http.client
import ssl
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from live_servers import Answer
from test_one_error_contract import hold

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_certificates import Authority, Minted, self_signed

if TYPE_CHECKING:
    from conftest import Servers
    from live_servers import Edge, Gunicorn

pytestmark = pytest.mark.live

CERTIFICATE, VERIFY = "X_SECUREML_CLIENT_CERT", "X_SECUREML_CLIENT_VERIFY"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(time.time())


def edge_with(servers: Servers, gunicorn: Gunicorn, authority: Authority, mode: str) -> Edge:
    """Start an Nginx that treats client certificates so."""
    words = f"ssl_client_certificate clients.crt;\nssl_verify_client {mode};"
    edge = servers.edge(gunicorn, start=False, sites={"client_certificates": words})
    (edge.folder / "clients.crt").write_bytes(authority.own.pem)
    return edge.start()


def ask(edge: Edge, minted: Minted | None) -> Answer:
    trust = ssl.create_default_context(cafile=edge.authority)
    if minted is not None:
        trust.load_cert_chain(*minted.write(edge.folder, "show"))
    where = http.client.HTTPSConnection("localhost", edge.port, timeout=10, context=trust)
    with closing(where) as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())


def arrived(answer: Answer) -> dict[str, str]:
    assert answer.status == 200, answer
    found: dict[str, str] = answer.json()["headers"]
    return found


def test_unless_it_is_told_to_nginx_asks_for_no_certificate(
    edge: Edge, authority: Authority
) -> None:
    """A client that would show one is not asked, and the application hears of none."""
    said = arrived(ask(edge, authority.sign()))
    assert CERTIFICATE not in said
    assert said[VERIFY] == "NONE"


def test_optional_hands_on_the_very_certificate_and_refuses_any_other(
    servers: Servers, gunicorn: Gunicorn, authority: Authority, catalogue: Any
) -> None:
    edge, leaf = edge_with(servers, gunicorn, authority, "optional"), authority.sign()
    said = arrived(ask(edge, leaf))
    assert said[CERTIFICATE] == leaf.header
    assert unquote(said[CERTIFICATE]).encode() == leaf.pem
    assert said[VERIFY] == "SUCCESS"
    assert CERTIFICATE not in arrived(ask(edge, None))
    hold(ask(edge, self_signed(time.time())), "forbidden", catalogue)


def test_where_one_must_be_shown_whoever_shows_none_gets_our_problem_body(
    servers: Servers, gunicorn: Gunicorn, authority: Authority, catalogue: Any
) -> None:
    edge = edge_with(servers, gunicorn, authority, "on")
    hold(ask(edge, None), "forbidden", catalogue)
    assert arrived(ask(edge, authority.sign()))[VERIFY] == "SUCCESS"


def test_optional_no_ca_says_failed_of_a_certificate_that_nobody_signed(
    servers: Servers, gunicorn: Gunicorn, authority: Authority, catalogue: Any
) -> None:
    """It lets an unknown authority pass and nothing else: an old certificate is still refused."""
    edge, now = edge_with(servers, gunicorn, authority, "optional_no_ca"), time.time()
    for stranger in (self_signed(now), Authority(now, "somebody").sign()):
        said = arrived(ask(edge, stranger))
        assert said[VERIFY].startswith("FAILED:")
        assert said[CERTIFICATE] == stranger.header
    assert arrived(ask(edge, authority.sign()))[VERIFY] == "SUCCESS"
    hold(ask(edge, authority.sign(days=(-9, -1))), "forbidden", catalogue)
