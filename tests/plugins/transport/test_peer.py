"""Who is at the other end: claims count only from peers the operator believes."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.transport.peer import Peer, PeerRefused, Trust, host_name, normal_address, settle
from secureml.kit.secrets import Secret

HOSTS = frozenset({"ml.example.org", "::1", "127.0.0.1"})
TOKEN = b"0123456789abcdef"
UNIX = Trust(unix=True, networks=(), hosts=HOSTS)
PROXY = Trust(
    unix=False, networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")), hosts=HOSTS
)
DIRECT = Trust(unix=False, networks=(), hosts=HOSTS, direct=True)
EDGE = Trust(unix=True, networks=(), hosts=HOSTS, is_edge=Secret(TOKEN).matches)

FORWARDED = {
    "REMOTE_ADDR": "",
    "HTTP_HOST": "ml.example.org",
    "HTTP_X_FORWARDED_FOR": "192.0.2.7",
    "HTTP_X_FORWARDED_PROTO": "https",
    "wsgi.url_scheme": "http",
}
BY_TLS = {"REMOTE_ADDR": "203.0.113.9", "HTTP_HOST": "ml.example.org", "wsgi.url_scheme": "https"}


def refusal(environ, trust):
    """Return (code, reason) of the refusal that must come."""
    with pytest.raises(PeerRefused) as refused:
        settle(environ, trust)
    return refused.value.code, refused.value.reason


def test_a_trusted_peer_says_who_the_client_is():
    """The proxy terminated TLS, so the scheme is https whatever the socket speaks."""
    assert settle(FORWARDED, UNIX) == Peer("192.0.2.7", "https", "ml.example.org", "")


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "10.255.255.255", "2001:db8::7", "::ffff:10.1.2.3"]
)
def test_a_network_is_trusted_as_a_whole(address):
    """Whichever of its addresses connects, also over an IPv6 socket."""
    assert settle({**FORWARDED, "REMOTE_ADDR": address}, PROXY).address == "192.0.2.7"


@pytest.mark.parametrize("address", ["11.0.0.1", "9.255.255.255", "2001:db9::1", "::1"])
def test_an_address_outside_the_networks_is_a_stranger(address):
    """One bit beside the network is outside of it."""
    environ = {**FORWARDED, "REMOTE_ADDR": address}

    assert refusal(environ, PROXY) == ("insecure_transport", "transport.not_https")


def test_the_unix_socket_is_trusted_only_by_its_name():
    """No address at all is no network's member."""
    assert refusal(FORWARDED, PROXY) == ("insecure_transport", "transport.not_https")


def test_trusting_the_unix_socket_trusts_no_address():
    """Somebody who reaches a TCP port instead is a stranger."""
    environ = {**FORWARDED, "REMOTE_ADDR": "127.0.0.1"}

    assert refusal(environ, UNIX) == ("insecure_transport", "transport.not_https")


@pytest.mark.parametrize("address", ["gibberish", "10.0.0.1, 10.0.0.2", "10.0.0.1%eth0"])
def test_a_socket_address_that_is_none_is_never_in_a_network(address):
    """What cannot be read is not believed."""
    environ = {**FORWARDED, "REMOTE_ADDR": address}

    assert refusal(environ, PROXY) == ("insecure_transport", "transport.not_https")


@pytest.mark.parametrize(
    "claim",
    [
        "",
        "192.0.2.7, 198.51.100.1",
        "192.0.2.7,192.0.2.7",
        "unknown",
        "192.0.2.7:443",
        "[2001:db8::1]",
        "localhost",
        "192.0.2.256",
        "0xC0000207",
        "fe80::1%eth0",
        "fe80::1%\r\nX-Evil: 1",
        "<script>",
    ],
)
def test_anything_but_one_plain_address_is_not_the_proxys_doing(claim):
    """The proxy overwrites the header, so a list means that somebody else wrote in it."""
    environ = {**FORWARDED, "HTTP_X_FORWARDED_FOR": claim}

    assert refusal(environ, UNIX) == ("malformed_request", "transport.forwarded_for")


def test_a_proxy_that_forgets_the_client_is_refused():
    """Otherwise every client would be the proxy, with one limit for all."""
    environ = {key: value for key, value in FORWARDED.items() if key != "HTTP_X_FORWARDED_FOR"}

    assert refusal(environ, UNIX) == ("malformed_request", "transport.forwarded_for")


@pytest.mark.parametrize("proto", [None, "", "http", "HTTPS", "https, http", "https,https", "wss"])
def test_only_https_passes_the_proxy(proto):
    """What the proxy took over plain HTTP was read by others already."""
    environ = {key: value for key, value in FORWARDED.items() if key != "HTTP_X_FORWARDED_PROTO"}
    if proto is not None:
        environ["HTTP_X_FORWARDED_PROTO"] = proto

    assert refusal(environ, UNIX) == ("insecure_transport", "transport.forwarded_proto")


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("ml.example.org", "ml.example.org"),
        ("ML.Example.ORG", "ml.example.org"),
        ("ml.example.org:8443", "ml.example.org"),
        ("ml.example.org.", "ml.example.org"),
        ("ml.example.org.:8443", "ml.example.org"),
        ("127.0.0.1:8443", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::1]:8443", "::1"),
        ("[0:0:0:0:0:0:0:1]:8443", "::1"),
    ],
)
def test_a_host_is_known_however_it_is_written(header, host):
    """Port, case, final dot and brackets are no part of the name."""
    assert settle({**FORWARDED, "HTTP_HOST": header}, UNIX).host == host


@pytest.mark.parametrize(
    "header",
    [
        "",
        ".",
        "evil.example",
        "ml.example.org.evil.example",
        "evil-ml.example.org",
        "ml.example.org..",
        "ml.example.org:8443:1",
        "ml.example.org:port",
        "ml.example.org@evil.example",
        "ml.example.org, evil.example",
        " ml.example.org",
        "ml.example.org\n",
        "::1",
        "[::1",
        "[::2]",
        "[:::::]",
        "[ml.example.org]",
        "https://ml.example.org",
    ],
)
def test_another_host_is_misdirected(header):
    """Also the empty one, which HTTP/1.0 allows."""
    environ = {**FORWARDED, "HTTP_HOST": header}

    assert refusal(environ, UNIX) == ("misdirected_request", "transport.host")


def test_a_missing_host_is_misdirected_even_where_the_empty_word_is_allowed():
    """A settings file cannot open this by accident."""
    trust = Trust(unix=True, networks=(), hosts=frozenset({""}))

    assert refusal({**FORWARDED, "HTTP_HOST": ""}, trust)[0] == "misdirected_request"


def test_the_right_edge_token_lets_the_proxy_speak():
    """It came through our proxy."""
    environ = {**FORWARDED, "HTTP_X_SECUREML_EDGE": TOKEN.decode()}

    assert settle(environ, EDGE).address == "192.0.2.7"


def test_only_the_edge_token_proves_the_edge():
    """Nobody is proven by a place on the list alone, nor by a token that is no proof of theirs."""
    environ = {**FORWARDED, "HTTP_X_SECUREML_EDGE": TOKEN.decode()}
    both = Trust(unix=True, networks=(), hosts=HOSTS, direct=True, is_edge=Secret(TOKEN).matches)

    assert settle(environ, EDGE).proxy_verified
    assert settle(environ, both).proxy_verified
    assert not settle(environ, UNIX).proxy_verified
    assert not settle({**environ, **BY_TLS}, both).proxy_verified
    assert not settle({**environ, **BY_TLS}, DIRECT).proxy_verified


@pytest.mark.parametrize("offered", [None, "", "0123456789abcdeX", "0123456789abcdef,0", "é" * 16])
def test_a_missing_or_wrong_edge_token_does_not(offered):
    """Whoever may open the socket is not yet the proxy."""
    environ = {**FORWARDED} if offered is None else {**FORWARDED, "HTTP_X_SECUREML_EDGE": offered}

    assert refusal(environ, EDGE) == ("forbidden", "transport.edge_token")


def test_an_edge_token_beyond_ascii_is_compared_byte_by_byte():
    """WSGI gives its bytes as latin-1 characters, whatever they meant."""
    token = "clé-secrète".encode()
    trust = Trust(unix=True, networks=(), hosts=HOSTS, is_edge=Secret(token).matches)
    environ = {**FORWARDED, "HTTP_X_SECUREML_EDGE": token.decode("latin-1")}

    assert settle(environ, trust).address == "192.0.2.7"


def test_the_edge_token_is_compared_by_whoever_holds_it():
    """The secret compares in constant time and knows the one before; nothing is compared here."""
    offers = []
    trust = Trust(unix=True, networks=(), hosts=HOSTS, is_edge=offers.append)

    assert refusal({**FORWARDED, "HTTP_X_SECUREML_EDGE": "guess"}, trust)[0] == "forbidden"
    assert offers == [b"guess"]


def test_an_edge_token_does_not_make_a_stranger_a_proxy():
    """A leaked token alone opens nothing: the peer must be on the list as well."""
    environ = {**FORWARDED, "REMOTE_ADDR": "203.0.113.9", "HTTP_X_SECUREML_EDGE": TOKEN.decode()}

    assert refusal(environ, EDGE)[1] == "transport.not_https"


def test_a_client_over_our_own_tls_is_its_socket_address():
    """Where the operator lets clients in without a proxy."""
    assert settle(BY_TLS, DIRECT) == Peer("203.0.113.9", "https", "ml.example.org", "")


def test_a_client_over_tls_is_refused_where_only_the_proxy_may_speak():
    """Whoever goes around the proxy goes around its limits as well."""
    assert refusal(BY_TLS, UNIX) == ("forbidden", "transport.not_through_proxy")


@pytest.mark.parametrize("scheme", ["http", "", None])
def test_a_client_without_tls_is_refused(scheme):
    """Direct or not."""
    environ = {key: value for key, value in BY_TLS.items() if key != "wsgi.url_scheme"}
    if scheme is not None:
        environ["wsgi.url_scheme"] = scheme

    assert refusal(environ, DIRECT) == ("insecure_transport", "transport.not_https")


@pytest.mark.parametrize("address", ["", "gibberish"])
def test_a_client_without_an_address_is_refused(address):
    """Clients without a name would share one limit, and one ban."""
    assert refusal({**BY_TLS, "REMOTE_ADDR": address}, DIRECT) == (
        "forbidden",
        "transport.no_address",
    )


def test_an_ipv4_client_on_an_ipv6_socket_is_the_same_client():
    """Two names would be two limits."""
    addresses = {
        settle({**BY_TLS, "REMOTE_ADDR": text}, DIRECT).address
        for text in ("203.0.113.9", "::ffff:203.0.113.9", "::FFFF:cb00:7109")
    }

    assert addresses == {"203.0.113.9"}
    assert normal_address("2001:DB8:0:0::1") == "2001:db8::1"


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        ("a1B2.c-d_e", "a1B2.c-d_e"),
        ("x" * 64, "x" * 64),
        ("x" * 65, ""),
        ("", ""),
        ("id with space", ""),
        ('","admin":true,"', ""),
        ("id\n", ""),
        ("\x1b[31m", ""),
        ("é", ""),
    ],
)
def test_a_foreign_id_is_kept_clean_or_not_at_all(offered, kept):
    """It will stand in log lines."""
    assert settle({**FORWARDED, "HTTP_X_REQUEST_ID": offered}, UNIX).foreign_id == kept


def test_a_strangers_id_is_not_kept():
    """Only the proxy's word is worth a place in the log."""
    assert settle({**BY_TLS, "HTTP_X_REQUEST_ID": "abc"}, DIRECT).foreign_id == ""


def test_host_names_have_one_spelling():
    """The settings file and the header meet in it."""
    assert host_name("ML.Example.org.:443") == "ml.example.org"
    assert host_name("[2001:DB8::0:1]:8443") == "2001:db8::1"
    assert host_name("not a host") == ""


PLAUSIBLE = st.sampled_from(
    [
        *FORWARDED.values(),
        *BY_TLS.values(),
        "10.0.0.1",
        "::ffff:192.0.2.7",
        "fe80::1%a\nb",
        "192.0.2.7, 10.0.0.1",
        "[::1]:8443",
        "HTTPS",
        TOKEN.decode(),
    ]
)
HEADERS = (
    "REMOTE_ADDR",
    "HTTP_HOST",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_SECUREML_EDGE",
    "HTTP_X_REQUEST_ID",
    "wsgi.url_scheme",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
)
ENVIRONS = st.dictionaries(st.sampled_from(HEADERS), PLAUSIBLE | st.text(max_size=40))


@given(ENVIRONS, st.sampled_from([UNIX, PROXY, DIRECT, EDGE]))
def test_attack_arbitrary_headers_are_settled_or_refused_and_nothing_else(environ, trust):
    """Nothing else is raised, and what comes out is an address, a known host and https."""
    try:
        settled = settle(environ, trust)
    except PeerRefused as refused:
        assert refused.code in {
            "malformed_request",
            "insecure_transport",
            "forbidden",
            "misdirected_request",
        }
        return

    assert str(ip_address(settled.address)) == settled.address
    assert "%" not in settled.address
    assert settled.host in HOSTS
    assert settled.scheme == "https"


@given(st.dictionaries(st.sampled_from(HEADERS[2:6] + HEADERS[7:]), PLAUSIBLE | st.text()))
def test_attack_forged_headers_of_a_stranger_never_change_its_address(forged):
    """Over TLS of our own the socket's address is the client's, whatever it claims."""
    assert settle({**forged, **BY_TLS}, DIRECT) == Peer(
        "203.0.113.9", "https", "ml.example.org", ""
    )


@pytest.mark.parametrize(
    "host", ["10.0.0.7:8443", "evil.example", "", "a b", "ml.example.org.", "_"]
)
def test_a_route_for_any_host_answers_whatever_the_host_says(host):
    """A kubelet asks by address. Who may connect is asked all the same."""
    found = settle({**FORWARDED, "HTTP_HOST": host}, UNIX, any_host=True)
    assert found.host == ("ml.example.org" if host.startswith("ml.") else "")
    assert found.address == "192.0.2.7"
    for environ in (
        FORWARDED | {"HTTP_X_FORWARDED_PROTO": "http"},
        FORWARDED | {"REMOTE_ADDR": "1"},
    ):
        with pytest.raises(PeerRefused):
            settle({**environ, "HTTP_HOST": host}, EDGE, any_host=True)


def test_a_name_of_compose_is_a_name():
    assert host_name("ml_api:8443") == "ml_api"
