"""One careful GET, against a server that misbehaves in every way there is."""

from __future__ import annotations

import datetime
import itertools
import queue
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from plugins.oauth2 import fetch as module
from plugins.oauth2.fetch import MAX_BYTES, Fetcher, FetchFailed
from tests.outside_issuer import Answering, http


def fetcher(server, **words):
    return Fetcher([("127.0.0.1", server.port)], **({"plain_http": True} | words))


def failed(get, url):
    with pytest.raises(FetchFailed) as error:
        get(url)
    return str(error.value)


def ask(answer, **words):
    """Return the rule that failed, or the document."""
    with Answering(answer) as server:
        try:
            return fetcher(server, **words)(f"http://127.0.0.1:{server.port}/jwks")
        except FetchFailed as fault:
            return str(fault)


def test_a_document_is_fetched():
    assert ask(http('{"keys": []}')) == b'{"keys": []}'
    assert (
        ask(http("{}", "200 OK", "Content-Type: application/jwk-set+json; charset=utf-8")) == b"{}"
    )


def test_a_document_in_chunks_is_fetched():
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    assert ask(head + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n") == b"{}"


def test_the_request_says_what_is_wanted_and_nothing_of_us():
    seen = []

    def answer(connection):
        connection.sendall(http("{}"))

    with Answering(answer) as server:
        original, server._answer = server._answer, lambda c: (seen.append(c.recv(65536)), answer(c))
        fetcher(server)(f"http://127.0.0.1:{server.port}/jwks?a=b")
        server._answer = original
        port = server.port

    assert seen[0].split(b"\r\n") == [
        b"GET /jwks?a=b HTTP/1.1",
        b"Host: 127.0.0.1:%d" % port,
        b"Accept: application/json",
        b"Accept-Encoding: identity",
        b"User-Agent: SecureML",
        b"Connection: close",
        b"",
        b"",
    ]


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P", "304 N"])
def test_a_redirect_is_never_followed(status):
    """OWASP API7, ASVS 15.3.2: the place it names is the attacker's to choose."""
    with Answering(http("{}")) as inner:
        where = f"Location: http://127.0.0.1:{inner.port}/jwks"
        assert ask(http("", status, "Content-Type: application/json", where)) == "redirected"
        assert inner.asked == []


@pytest.mark.parametrize("status", ["201 C", "204 N", "400 B", "404 N", "500 I", "503 S"])
def test_any_status_but_200_is_a_failure(status):
    assert ask(http("{}", status)) == "status"


@pytest.mark.parametrize(
    "kind", ["text/html", "text/plain; application/json", "application/jsonp", ""]
)
def test_another_content_type_is_refused(kind):
    assert ask(http("{}", "200 OK", f"Content-Type: {kind}")) == "content_type"


def test_no_content_type_is_refused():
    assert ask(http("{}", "200 OK", "X: y")) == "content_type"


def test_a_packed_body_is_not_unpacked():
    lines = ("Content-Type: application/json", "Content-Encoding: gzip")

    assert ask(http("{}", "200 OK", *lines)) == "content_encoding"


def test_an_announced_oversize_is_refused_before_it_is_read():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n"

    assert ask(head) == "too_large"


def test_an_oversize_that_is_not_announced_is_cut_off_while_reading():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

    assert ask(head + b" " * (MAX_BYTES + 1)) == "too_large"
    assert ask(head + b" " * MAX_BYTES) == b" " * MAX_BYTES


def test_a_chunked_oversize_is_cut_off_too():
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    assert ask(head + chunk * 5) == "too_large"


def test_a_document_cut_short_is_none():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"

    assert ask(head + b"{}") == "cut_short"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 xx\r\n\r\n", b"\0" * 70000])
def test_what_is_no_http_is_refused(answer):
    assert ask(answer) in ("not_http", "unreachable")


def test_a_server_that_dribbles_is_left_at_the_deadline():
    """Each read alone would be quick enough for ever."""
    moments, reads = itertools.count(), queue.SimpleQueue()

    def monotonic():
        moment = next(moments)
        reads.put(moment)
        return moment

    def dribble(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while reads.get(timeout=10) < 6:
            connection.sendall(b" ")

    assert ask(dribble, monotonic=monotonic) == "too_slow"


def test_a_server_that_says_nothing_is_left(monkeypatch):
    monkeypatch.setattr(module, "READ_SECONDS", 0.05)

    assert ask(lambda connection: connection.recv(1)) == "too_slow"


def test_nobody_there_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    get = Fetcher([("127.0.0.1", port)], plain_http=True)

    assert failed(get, f"http://127.0.0.1:{port}/") == "unreachable"


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://id.example.org/", "host_not_pinned"),
        ("https://evil.example/", "host_not_pinned"),
        ("https://id.example.org:8443/", "host_not_pinned"),
        ("https://id.example.org.evil.example/", "host_not_pinned"),
        ("http://id.example.org:443/", "not_https"),
        ("ftp://id.example.org/", "url"),
    ],
)
def test_only_pinned_hosts_over_tls_are_asked(url, rule):
    def resolve(*_words, **_more):
        raise AssertionError("a name was looked up")

    assert failed(Fetcher([("id.example.org", 443)], plain_http=True, resolve=resolve), url) == rule


def test_plain_http_is_for_development():
    with Answering(http("{}")) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert failed(fetcher(server, plain_http=False), url) == "not_https"


def answers(*addresses):
    return lambda _host, port, **_words: [(0, 0, 0, "", (address, port)) for address in addresses]


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "0.0.0.0", "224.0.0.1"])
def test_a_pinned_name_that_leads_to_the_metadata_service_is_refused(address):
    get = Fetcher([("id.example.org", 443)], resolve=answers(address))

    assert failed(get, "https://id.example.org/") == "address"


def test_localhost_that_is_somebody_else_is_refused():
    get = Fetcher([("localhost", 80)], plain_http=True, resolve=answers("127.0.0.1", "10.0.0.7"))

    assert failed(get, "http://localhost/") == "address"


def test_an_unknown_name_is_a_failure():
    def resolve(*_words, **_more):
        raise socket.gaierror

    assert failed(Fetcher([("x.test", 443)], resolve=resolve), "https://x.test/") == "unknown_host"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, and a server context that uses it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


def serving(certificate, newest=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    if newest is not None:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def over_tls(server, ca, host="localhost"):
    get = Fetcher(
        [(host, server.port)], ca=None if ca is None else str(ca), resolve=answers("127.0.0.1")
    )
    try:
        return get(f"https://{host}:{server.port}/")
    except FetchFailed as fault:
        return str(fault)


def test_tls_with_the_operators_own_authority(certificate):
    with Answering(http("{}"), tls=serving(certificate)) as server:
        assert over_tls(server, certificate / "ca.pem") == b"{}"


def test_a_certificate_of_no_known_authority_is_refused(certificate):
    with Answering(http("{}"), tls=serving(certificate)) as server:
        assert over_tls(server, None) == "tls"


def test_a_certificate_for_another_name_is_refused(certificate):
    """A pinned name that was made to lead elsewhere."""
    with Answering(http("{}"), tls=serving(certificate)) as server:
        assert over_tls(server, certificate / "ca.pem", "id.example.org") == "tls"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(certificate):
    with Answering(http("{}"), tls=serving(certificate, ssl.TLSVersion.TLSv1_1)) as server:
        assert over_tls(server, certificate / "ca.pem") == "tls"
