"""Transport in its phase: the table is checked at the start, the peer settled once."""

from __future__ import annotations

import pytest

from plugins.transport.plugin import Transport
from secureml import ConfigError, Plugin, Problem
from secureml.kit.secrets import SecretUnavailable
from secureml.testing import Harness

HOSTS = ["ml.example.org"]
FORWARDED = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def ask(harness, table, *, remote="", scheme="http", host="ml.example.org", headers=None):
    """Return the exchange after ADMIT."""
    exchange = harness.exchange(
        base_url=f"{scheme}://{host}",
        headers=headers,
        environ_overrides={"REMOTE_ADDR": remote},
    )
    harness.build(Transport, table).admit(exchange)
    return exchange


def stopped(harness, table):
    """Return the one line with which the start stops."""
    with pytest.raises(ConfigError) as error:
        harness.build(Transport, table)
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith("[plugins.transport] ")
    return line


def test_it_settles_the_peer_for_all_phases_after_it(harness):
    """Address, scheme, host and the proxy's id are facts from here on."""
    exchange = ask(
        harness,
        {"trusted": ["unix"], "hosts": HOSTS},
        headers={**FORWARDED, "X-Request-ID": "abc-1"},
    )

    assert exchange.client_address == "192.0.2.7"
    assert exchange.scheme == "https"
    assert exchange.host == "ml.example.org"
    assert exchange.foreign_id == "abc-1"


def test_a_second_verdict_on_the_peer_is_a_fault(harness):
    """A claim heard later cannot become a fact."""
    exchange = ask(harness, {"trusted": ["unix"], "hosts": HOSTS}, headers=FORWARDED)

    with pytest.raises(RuntimeError):
        exchange.set_peer(address="10.0.0.1", scheme="http", host="evil")


def test_a_refusal_has_a_public_code_and_a_private_reason(harness):
    """The caller learns less than the log."""
    with pytest.raises(Problem) as refused:
        ask(harness, {"trusted": ["unix"], "hosts": HOSTS}, headers=FORWARDED, host="evil.example")

    assert refused.value.code == "misdirected_request"
    assert refused.value.reason == "transport.host"


def test_networks_are_trusted_beside_the_socket(harness):
    """Both words in one list."""
    table = {"trusted": ["unix", "10.0.0.0/8", "192.0.2.1"], "hosts": HOSTS}

    for remote in ("", "10.9.8.7", "192.0.2.1"):
        exchange = ask(harness, table, remote=remote, headers=FORWARDED)
        assert exchange.client_address == "192.0.2.7"


def test_hosts_may_be_written_as_an_operator_would(harness):
    """Case, final dot, and an IPv6 address without brackets."""
    table = {"trusted": ["unix"], "hosts": ["ML.Example.org.", "::1", "0:0::2", "ml_api"]}

    for host, settled in (
        ("ml.example.org:8443", "ml.example.org"),
        ("[::1]:8443", "::1"),
        ("[::2]", "::2"),
        ("ml_api:8443", "ml_api"),
    ):
        assert ask(harness, table, host=host, headers=FORWARDED).host == settled


def test_direct_clients_may_speak_over_tls_where_the_operator_says_so(harness):
    """Then nobody need be trusted."""
    exchange = ask(
        harness,
        {"hosts": HOSTS, "direct": True},
        remote="203.0.113.9",
        scheme="https",
        headers=FORWARDED,
    )

    assert exchange.client_address == "203.0.113.9"


def test_a_server_to_whom_no_one_could_speak_does_not_start(harness):
    """An empty list trusts no one, so it is never taken for everyone."""
    for table in ({"hosts": HOSTS}, {"hosts": HOSTS, "trusted": []}):
        line = stopped(harness, table)
        assert "trusted: every request would be refused" in line
        assert 'fix: trusted = ["unix"]' in line


@pytest.mark.parametrize("word", ["0.0.0.0/0", "::/0"])
def test_to_trust_the_whole_world_stops_the_start(harness, word):
    """Whoever believes everybody's headers believes every attacker's."""
    assert "every address" in stopped(harness, {"trusted": [word], "hosts": HOSTS})


@pytest.mark.parametrize("word", ["10.0.0.1/8", "proxy.example.org", "*", "", "UNIX"])
def test_a_word_that_is_neither_unix_nor_a_network_stops_the_start(harness, word):
    """Host bits that are set are a mistake as well: which of the two was meant?"""
    line = stopped(harness, {"trusted": [word], "hosts": HOSTS})

    assert "trusted" in line
    assert "fix: write a network" in line


@pytest.mark.parametrize("hosts", [[], [""], ["https://ml.example.org"], ["*"], ["."], ["a:1"]])
def test_a_host_list_that_names_no_host_stops_the_start(harness, hosts):
    """A word that matches nothing, or the empty Host header, would be found out too late."""
    assert "hosts" in stopped(harness, {"trusted": ["unix"], "hosts": hosts})


def test_the_hosts_must_be_said(harness):
    """There is no default that fits anyone."""
    assert "hosts" in stopped(harness, {"trusted": ["unix"]})


@pytest.mark.parametrize("word", ["yes", "true", "on", 2])
def test_direct_is_true_or_false(harness, word):
    """A text that looks like a yes opens nothing."""
    assert "direct" in stopped(harness, {"hosts": HOSTS, "direct": word})


def test_the_edge_token_is_demanded_once_it_is_set(harness, monkeypatch):
    """Missing, wrong, right."""
    monkeypatch.setenv("EDGE_TOKEN", "0123456789abcdef")
    table = {"trusted": ["unix"], "hosts": HOSTS, "edge_token": "env:EDGE_TOKEN"}

    for offered in ({}, {"X-SecureML-Edge": "0123456789abcdeX"}):
        with pytest.raises(Problem) as refused:
            ask(harness, table, headers={**FORWARDED, **offered})
        assert (refused.value.code, refused.value.reason) == ("forbidden", "transport.edge_token")

    headers = {**FORWARDED, "X-SecureML-Edge": "0123456789abcdef"}
    assert ask(harness, table, headers=headers).client_address == "192.0.2.7"


def test_the_edge_token_may_lie_in_a_file_of_the_instance(harness):
    """As `secureml init` puts it there."""
    file = harness.folder / "edge-token"
    file.write_text("0123456789abcdef\n")
    file.chmod(0o600)
    table = {"trusted": ["unix"], "hosts": HOSTS, "edge_token": "file:edge-token"}

    headers = {**FORWARDED, "X-SecureML-Edge": "0123456789abcdef"}
    assert ask(harness, table, headers=headers).client_address == "192.0.2.7"


def test_an_edge_token_that_cannot_be_read_stops_the_start_and_names_the_key(harness, monkeypatch):
    """Never a server that demands nothing because its secret was missing."""
    monkeypatch.delenv("EDGE_TOKEN", raising=False)
    line = stopped(harness, {"trusted": ["unix"], "hosts": HOSTS, "edge_token": "env:EDGE_TOKEN"})

    assert line.startswith("[plugins.transport] edge_token: ")
    assert "fix: export EDGE_TOKEN" in line


def test_an_edge_token_written_out_stops_the_start_and_is_not_repeated(harness):
    """A settings file is no place for a secret, and neither is the message about it."""
    line = stopped(harness, {"trusted": ["unix"], "hosts": HOSTS, "edge_token": "s3cr3t-t0ken"})

    assert "edge_token" in line
    assert "s3cr3t" not in line


@pytest.fixture
def followed(harness):
    """A transport whose edge token lies in a file."""
    file = harness.folder / "edge-token"
    file.write_text("first-token")
    file.chmod(0o600)
    table = {"trusted": ["unix"], "hosts": HOSTS, "edge_token": "file:edge-token"}
    transport = harness.build(Transport, table)
    yield transport, file
    transport.close()


def passes(harness, transport, token):
    """Tell whether the proxy may speak with this token, or with which reason not."""
    headers = {**FORWARDED, "X-SecureML-Edge": token}
    exchange = harness.exchange(
        base_url="http://ml.example.org", headers=headers, environ_overrides={"REMOTE_ADDR": ""}
    )
    try:
        transport.admit(exchange)
    except Problem as refused:
        return refused.code, refused.reason
    return True


def test_a_rotated_edge_token_refuses_no_request(harness, followed):
    """Nginx sends the old one until it is reloaded, and the new one from then on."""
    transport, file = followed
    file.write_text("second-token")

    assert passes(harness, transport, "first-token") is True
    assert passes(harness, transport, "second-token") is True
    assert passes(harness, transport, "first-token") is True
    assert passes(harness, transport, "third-token") == ("forbidden", "transport.edge_token")


def test_an_edge_token_nobody_could_confirm_for_too_long_refuses_all(
    harness, followed, monkeypatch
):
    """With 503, because it is our fault, and `/readyz` says why."""
    transport, _ = followed
    assert transport.ready() is None

    def too_old():
        raise SecretUnavailable

    monkeypatch.setattr(transport._token, "current", too_old)
    refused = ("unavailable", "transport.edge_token_unavailable")
    assert passes(harness, transport, "first-token") == refused
    assert transport.ready() == "edge_token_unavailable"


def test_without_an_edge_token_there_is_nothing_to_follow(harness):
    """Ready, and closed without a word."""
    transport = harness.build(Transport, {"trusted": ["unix"], "hosts": HOSTS})

    assert transport.ready() is None
    transport.close()


def test_whether_it_can_prove_the_edge_is_known_at_the_start(harness, monkeypatch):
    """Others refuse to start where it cannot."""
    monkeypatch.setenv("EDGE_TOKEN", "0123456789abcdef")
    token = {"hosts": HOSTS, "edge_token": "env:EDGE_TOKEN"}
    for table, proves in (
        ({**token, "trusted": ["unix"]}, True),
        ({**token, "direct": True}, False),
        ({"hosts": HOSTS, "trusted": ["unix"]}, False),
    ):
        assert harness.build(Transport, table).verifies_proxy is proves


def test_a_proven_edge_is_a_fact_for_all_phases_after_it(harness, monkeypatch):
    monkeypatch.setenv("EDGE_TOKEN", "0123456789abcdef")
    table = {"trusted": ["unix"], "hosts": HOSTS, "edge_token": "env:EDGE_TOKEN"}
    headers = {**FORWARDED, "X-SecureML-Edge": "0123456789abcdef"}

    assert ask(harness, table, headers=headers).proxy_verified
    assert not ask(harness, {"trusted": ["unix"], "hosts": HOSTS}, headers=headers).proxy_verified


# -- health checks by address ---------------------------------------------------------------------


class Tired(Plugin):
    """Has a reason not to be ready."""

    name = "tired"

    def ready(self):
        return "tired"


class Check(Plugin):
    """Knows nobody, and lets all pass."""

    name = "phase"

    def identify(self, exchange):
        """Know nobody."""

    def authorize(self, exchange):
        """Refuse no one."""


@pytest.mark.parametrize("host", ["10.1.2.3:8443", "ml_api", "evil.example", "[fd00::7]"])
@pytest.mark.parametrize("direct", [False, True])
def test_health_is_told_by_any_name_and_nothing_else_is(harness, host, direct):
    """To a name that is not ours the status alone: reasons are for who knows us by name."""
    table = {"hosts": HOSTS} | ({"direct": True} if direct else {"trusted": ["unix"]})
    plugins = [harness.load(Transport, table), harness.load(Check), harness.load(Tired)]
    client = harness.app(plugins).test_client()

    def get(path, name):
        return client.get(
            path,
            base_url=f"{'https' if direct else 'http'}://{name}",
            headers={} if direct else FORWARDED,
            environ_overrides={"REMOTE_ADDR": "203.0.113.9" if direct else ""},
        )

    assert (get("/healthz", host).status_code, get("/healthz", host).json) == (
        200,
        {"status": "alive"},
    )
    assert get("/readyz", host).status_code == 503
    assert get("/readyz", host).json == {"status": "not_ready"}
    assert get("/readyz", HOSTS[0]).json == {"status": "not_ready", "reasons": ["tired"]}
    for path in ("/v1/models", "/nowhere", "/healthz/", "/healthz/x", "/v1/models/healthz"):
        assert (get(path, host).status_code, get(path, host).json["code"]) == (
            421,
            "misdirected_request",
        )
    assert client.post("/healthz", base_url="http://x").status_code in (403, 421)


def test_health_by_any_name_still_needs_the_edge(harness, monkeypatch):
    """Over plain HTTP, or past the proxy, nobody is told anything."""
    monkeypatch.setenv("EDGE_TOKEN", "0123456789abcdef")
    table = {"trusted": ["unix"], "hosts": HOSTS, "edge_token": "env:EDGE_TOKEN"}
    client = harness.app([harness.load(Transport, table), harness.load(Check)]).test_client()
    for headers, status in (
        (FORWARDED, 403),
        ({**FORWARDED, "X-SecureML-Edge": "0123456789abcdeX"}, 403),
        ({**FORWARDED, "X-SecureML-Edge": "0123456789abcdef"}, 200),
        ({**FORWARDED, "X-SecureML-Edge": "0123456789abcdef", "X-Forwarded-Proto": "http"}, 403),
    ):
        answer = client.get(
            "/healthz",
            base_url="http://10.0.0.7",
            headers=headers,
            environ_overrides={"REMOTE_ADDR": ""},
        )
        assert answer.status_code == status
