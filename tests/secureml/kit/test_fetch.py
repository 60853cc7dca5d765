"""One careful GET, against a server that misbehaves in every way there is."""

from __future__ import annotations

import datetime
import itertools
import queue
import socket
import ssl
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from secureml.kit import fetch as module
from secureml.kit.fetch import MAX_BYTES, Fetcher, FetchFailed
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


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Dripping:
    """A server's answer of one piece for each look at the clock, which moves with each look.

    All but the last of ``pieces`` are sent at once; the last comes again and again. To a client
    that does not look they come by themselves, a hundred of them: it has no deadline.
    """

    END = -1

    def __init__(self, *pieces):
        self._pieces, self.looks, self._seen = pieces, 0, queue.SimpleQueue()

    def monotonic(self):
        self.looks += 1
        self._seen.put(self.looks)
        return self.looks

    def __call__(self, connection):
        connection.sendall(b"".join(self._pieces[:-1]))
        for _ in range(100):
            with suppress(queue.Empty):
                if self._seen.get(timeout=0.05) == self.END:
                    return
            connection.sendall(self._pieces[-1])

    def left_by(self, get, url):
        """Return why it was left, and end."""
        try:
            return failed(get, url)
        finally:
            self._seen.put(self.END)


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD, b"\r\n", b" "),
        (HEAD, CHUNKED, b"1\r\n \r\n"),
        (HEAD, CHUNKED, b"0"),
        (HEAD, b"X-Slow: ", b"x"),
        (HEAD, b"X-Slow: x\r\n"),
        (b"HTTP/1.1 200 ", b"O"),
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
    ],
    ids=["body", "chunks", "size", "header", "headers", "status", "interim"],
)
def test_attack_a_server_that_drips_is_left_at_the_deadline(pieces):
    """Each read alone would be quick enough for ever."""
    drip = Dripping(*pieces)
    with Answering(drip) as server:
        get = fetcher(server, monotonic=drip.monotonic)
        assert drip.left_by(get, f"http://127.0.0.1:{server.port}/") == "too_slow"
    assert drip.looks < 20


def test_attack_a_server_that_drips_within_tls_is_left_at_the_deadline(certificate):
    drip = Dripping(HEAD, b"X-Slow: ", b"x")
    with Answering(drip, tls=serving(certificate)) as server:
        get = tls_fetcher(server.port, certificate / "ca.pem", monotonic=drip.monotonic)
        assert drip.left_by(get, f"https://localhost:{server.port}/") == "too_slow"
    assert drip.looks < 20


def test_attack_a_handshake_that_never_comes_is_left(certificate, monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        get = tls_fetcher(port, certificate / "ca.pem")
        assert failed(get, f"https://localhost:{port}/") == "too_slow"


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


@pytest.mark.parametrize("cut", [b"5\r\n{}", b"5\r\n{}   \r\n", b"x\r\n", b""])
def test_a_chunked_document_cut_short_is_none(cut):
    assert ask(HEAD + CHUNKED + cut) == "cut_short"


def test_a_length_that_is_given_twice_is_refused():
    assert ask(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}") == "not_http"


def test_attack_a_proxy_named_in_the_environment_sees_nothing(monkeypatch):
    with Answering(http("{}")) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(http('{"keys": []}')) == b'{"keys": []}'
        assert proxy.asked == []


@pytest.mark.parametrize("answer", [b"", http("{}", "503 S", "Retry-After: 0"), HEAD + CHUNKED])
def test_what_failed_is_not_asked_again(answer):
    with Answering(answer) as server:
        failed(fetcher(server), f"http://127.0.0.1:{server.port}/jwks")
        assert server.asked == ["/jwks"]


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


def tls_fetcher(port, ca, host="localhost", **words):
    ca = None if ca is None else str(ca)
    return Fetcher([(host, port)], ca=ca, **({"resolve": answers("127.0.0.1")} | words))


def over_tls(server, ca, host="localhost", **words):
    get = tls_fetcher(server.port, ca, host, **words)
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


def test_attack_a_name_that_leads_elsewhere_the_second_time_is_asked_once(
    certificate, monkeypatch
):  # fmt: skip
    """DNS rebinding: what was checked is what is connected to, under the name of the host."""
    offered, looked_up, names = ["127.0.0.1", "169.254.169.254"], [], []
    real = socket.getaddrinfo

    def resolve(_host, port, **_words):
        return [(0, 0, 0, "", (offered.pop(0), port))]

    def getaddrinfo(host, *words, **more):
        looked_up.append(host)
        return real(host, *words, **more)

    tls = serving(certificate)
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Answering(http("{}"), tls=tls) as server:
        assert over_tls(server, certificate / "ca.pem", resolve=resolve) == b"{}"
    assert offered == ["169.254.169.254"]
    assert looked_up == ["127.0.0.1"]
    assert names == ["localhost"]


def test_the_next_address_is_asked_where_one_does_not_answer(certificate):
    with Answering(http("{}"), tls=serving(certificate)) as server:
        resolve = answers("127.0.0.2", "127.0.0.1")
        assert over_tls(server, certificate / "ca.pem", resolve=resolve) == b"{}"


def test_all_addresses_of_a_name_share_one_deadline(certificate):
    """A name with a hundred addresses is no longer wait."""
    moments = itertools.count()
    with Answering(http("{}"), tls=serving(certificate)) as server:
        resolve = answers(*["127.0.0.2"] * 100, "127.0.0.1")
        clock = lambda: next(moments)  # noqa: E731
        assert over_tls(server, None, resolve=resolve, monotonic=clock) == "too_slow"
    assert next(moments) < 110
    assert server.asked == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(certificate):
    with Answering(http("{}"), tls=serving(certificate, ssl.TLSVersion.TLSv1_1)) as server:
        assert over_tls(server, certificate / "ca.pem") == "tls"
