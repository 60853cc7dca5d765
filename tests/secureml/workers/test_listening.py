"""Gunicorn listens where Nginx alone can reach it, and refuses in our words."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest

from secureml.config_error import ConfigError
from secureml.pipeline.problems import CATALOGUE
from secureml.workers import listening
from secureml.workers.listening import check_addresses, check_tls, tls_context, write_problem

FILE = Path("/srv/instance/secureml.toml")


@pytest.mark.parametrize(
    "address",
    ["/run/gunicorn.sock", ("127.0.0.1", 8000), ("127.9.9.9", 1), ("::1", 1), ("localhost", 80)],
)
def test_sockets_and_loopback_are_accepted(address):
    check_addresses([address], FILE)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "fe80::1%eth0", "example.org", "localhost.", ""]
)
def test_an_address_that_others_reach_is_refused_also_beside_a_good_one(host):
    with pytest.raises(ConfigError, match=r"\[server\] bind: .*can be reached without Nginx"):
        check_addresses([("127.0.0.1", 1), (host, 8000)], FILE)


@pytest.mark.parametrize(
    ("tls", "production", "refused"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_only_production_with_a_certificate_of_its_own_is_refused(tls, production, refused):
    if not refused:
        check_tls(tls=tls, production=production, file=FILE)
        return
    with pytest.raises(ConfigError, match="omit --certfile and --keyfile"):
        check_tls(tls=tls, production=production, file=FILE)


def test_tls_without_nginx_has_the_floor_of_nginx():
    context = tls_context(None, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    old = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"}
    assert old
    assert all(name.startswith("ECDHE-") and "CBC" not in name for name in old)


@pytest.mark.parametrize(
    ("status", "sent", "code"),
    [
        *[(status, status, code) for status, code in listening._REFUSALS.items()],
        (418, 400, "malformed_request"),
    ],
)
def test_a_refusal_is_worded_as_in_the_catalogue_and_quotes_nothing(status, sent, code):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        write_problem(ours, status, "Forged <script>", "what the client sent")
        ours.shutdown(socket.SHUT_WR)
        head, _, body = theirs.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {sent} {CATALOGUE[code].title}\r\n".encode())
    assert f"Content-Length: {len(body)}".encode() in head
    problem = json.loads(body)
    assert (problem["code"], problem["status"]) == (code, sent)
    assert CATALOGUE[code].status == sent
    assert b"script" not in head + body
    assert b"client" not in body
