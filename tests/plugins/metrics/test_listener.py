"""A socket of its own: on this machine alone, one path, and no word about what serves it."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing

import pytest

from plugins.metrics.listener import Listener, split


@pytest.fixture(scope="module")
def port():
    """A listener on a free port; its thread ends with the process."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        free = probe.getsockname()[1]
    return Listener(
        f"127.0.0.1:{free}", lambda accept: (f"for {accept}".encode(), "text/x")
    ).start()


def ask(port, method="GET", path="/metrics", **headers):
    """Return status, headers and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:1", ("::1", 1)),
        ("127.9.9.9:65535", ("127.9.9.9", 65535)),
    ],
)
def test_an_address_of_this_machine_alone_is_taken(address, parts):
    assert split(address) == parts


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "localhost:9464", "127.0.0.1", "127.0.0.1:0",
     "127.0.0.1:65536", "127.0.0.1:", ":9464", "127.0.0.1:x", "unix:/run/x"],
)  # fmt: skip
def test_any_other_is_refused(address):
    with pytest.raises(ValueError):
        split(address)


def test_a_scrape_is_answered_in_the_format_it_asks_for(port):
    status, headers, body = ask(port, Accept="this")
    assert (status, body) == (200, b"for this")
    assert headers == {"Content-Type": "text/x", "Content-Length": "8"}


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics?x", "/../metrics", "*"])
def test_there_is_nothing_else(port, path):
    assert ask(port, path=path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "DELETE", "TRACE", "OPTIONS"])
def test_nothing_can_be_done_here(port, method):
    status, headers, body = ask(port, method)
    assert status == 501
    assert "Python" not in f"{headers}{body}"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9464", "192.0.2.1", "", "localhost.evil.example"]
)
def test_attack_a_page_whose_name_leads_here_reads_nothing(port, host):
    """DNS rebinding: the browser thinks that we are the page's own server."""
    assert ask(port, Host=host)[0] == 421


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9464", "127.0.0.1:9464", "[::1]:9464", "[::1]"]
)
def test_this_machine_by_its_own_names_is_answered(port, host):
    assert ask(port, Host=host)[0] == 200


def test_a_second_worker_listens_beside_the_first(port):
    """And any of them answers."""
    assert Listener(f"127.0.0.1:{port}", lambda accept: (b"for this", "text/x")).start() == port
    assert {ask(port, Accept="this")[2] for _ in range(20)} == {b"for this"}


def test_another_program_on_the_port_is_told():
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(OSError, match="in use"):
            Listener(address, lambda accept: (b"", "")).start()
