"""Client certificates in their phases: believed from the proven edge, and from nobody else."""

from __future__ import annotations

import pytest
from made_certificates import DAY, Authority, self_signed

from plugins.client_certificates.plugin import ClientCertificates
from secureml import ConfigError, Principal, Problem
from secureml.kit.client_certificate import from_der
from secureml.pipeline.exchange import Exchange
from secureml.pipeline.principal import EXPLAIN_METHOD
from secureml.testing import START

EDGE = {"address": "192.0.2.1", "scheme": "https", "host": "ml.example.org"}


@pytest.fixture
def plugin(harness):
    return harness.build(ClientCertificates)


@pytest.fixture
def bound(plugin, leaf):
    """The binding of the leaf to acme."""
    return plugin._bindings.bind_leaf("acme", from_der(leaf.der))


def exchange(harness, text, verify="SUCCESS", *, proven=True) -> Exchange:
    """Return a request with what Nginx says of a certificate."""
    headers = {} if verify is None else {"X-SecureML-Client-Verify": verify}
    if text is not None:
        headers["X-SecureML-Client-Cert"] = text
    made = harness.exchange("GET", "/v1/models", headers=headers)
    made.set_peer(**EDGE, proxy_verified=proven)
    return made


def ask(harness, plugin, minted, verify="SUCCESS", *, proven=True):
    """Return the principal, or why there is none."""
    text = minted if isinstance(minted, str | None) else minted.header
    try:
        return plugin.identify(exchange(harness, text, verify, proven=proven))
    except Problem as refused:
        return (refused.code, refused.reason)


def denied(word):
    return ("unauthorized", f"client_certificates.{word}")


def test_who_shows_no_certificate_is_for_someone_else_to_name(harness, plugin):
    assert ask(harness, plugin, None, "NONE") is None
    assert ask(harness, plugin, "", None) is None


def test_the_holder_of_a_bound_certificate_is_named(harness, plugin, leaf, bound):
    assert ask(harness, plugin, leaf) == Principal(
        client="acme",
        subject="acme",
        scopes=frozenset({"predict", "models:read"}),
        models=frozenset({"iris"}),
        tier="gold",
        method="client_certificates",
        credential=bound.id,
        expires=bound.expires,
    )


@pytest.mark.parametrize(
    ("scopes", "held"), [(["predict"], {"predict"}), (["admin"], set()), ([], set())]
)
def test_a_certificate_never_holds_more_than_its_client(harness, plugin, leaf, scopes, held):
    plugin._bindings.bind_leaf("acme", from_der(leaf.der), scopes=scopes)
    assert ask(harness, plugin, leaf).scopes == held


def test_a_certificate_bound_to_nobody_is_not_passed_on_to_be_somebody_else(
    harness, plugin, leaf, bound, authority
):
    assert ask(harness, plugin, authority.sign()) == denied("unknown")
    assert ask(harness, plugin, Authority(START).sign()) == denied("unknown")


def test_a_certificate_is_good_in_its_time_alone_also_where_it_is_known(
    harness, plugin, authority, leaf, bound
):
    """A connection that stays open outlives what Nginx asked in the handshake."""
    assert ask(harness, plugin, leaf).client == "acme"
    harness.clock.advance(90 * DAY)
    assert ask(harness, plugin, leaf).client == "acme"
    harness.clock.advance(1)
    assert ask(harness, plugin, leaf) == denied("expired")

    early = authority.sign(days=(91, 99))
    plugin._bindings.bind_leaf("acme", from_der(early.der))
    assert ask(harness, plugin, early) == denied("not_yet_valid")
    harness.clock.advance(1 * DAY)
    assert ask(harness, plugin, early).client == "acme"


def test_a_known_name_ends_with_its_authority(harness, plugin):
    short = Authority(START, days=10)
    plugin._bindings.bind_name("acme", "batch.example.org", short.own.der)
    leaf = short.sign()
    assert ask(harness, plugin, leaf).client == "acme"
    harness.clock.advance(11 * DAY)
    assert ask(harness, plugin, leaf) == denied("authority_expired")


def test_what_ended_is_refused_at_the_next_request(harness, plugin, leaf, bound):
    assert ask(harness, plugin, leaf).client == "acme"
    plugin._bindings.end(bound.id)
    assert ask(harness, plugin, leaf) == denied("ended")


def test_another_workers_ending_is_seen_at_the_next_request(harness, plugin, leaf, bound):
    other = harness.build(ClientCertificates)
    assert ask(harness, other, leaf).client == "acme"
    plugin._bindings.end(bound.id)
    assert ask(harness, other, leaf) == denied("ended")


def test_a_disabled_client_is_nobody(harness, plugin, leaf, bound):
    assert ask(harness, plugin, leaf).client == "acme"
    harness.clients.set_enabled("acme", enabled=False)
    assert ask(harness, plugin, leaf) == denied("client_disabled")


@pytest.mark.parametrize(
    "verify", [None, "", "NONE", "success", "SUCCESS,SUCCESS", "FAILED:unable to verify", "FAILED"]
)
def test_what_nginx_has_not_verified_counts_for_nothing(harness, plugin, leaf, bound, verify):
    assert ask(harness, plugin, leaf, verify) == denied("unverified")


def test_where_the_operator_says_so_an_exact_certificate_needs_no_authority(harness):
    """RFC 8705, 2.2: the handshake still proves the key."""
    plugin = harness.build(ClientCertificates, {"unverified": True})
    alone = self_signed(START)
    plugin._bindings.bind_leaf("acme", from_der(alone.der))
    assert ask(harness, plugin, alone, "FAILED:self-signed certificate").client == "acme"
    assert ask(harness, plugin, alone, "NONE") == denied("unverified")
    assert ask(harness, plugin, self_signed(START), "FAILED:x") == denied("unknown")


def test_a_verified_name_is_not_remembered_for_one_who_is_not(harness, leaf, authority):
    plugin = harness.build(ClientCertificates, {"unverified": True})
    plugin._bindings.bind_name("acme", "batch.example.org", authority.own.der)
    assert ask(harness, plugin, leaf, "SUCCESS").client == "acme"
    assert ask(harness, plugin, leaf, "FAILED:x") == denied("unverified")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x", "malformed"),
        ("%00", "malformed"),
        ("-----BEGIN CERTIFICATE-----", "malformed"),
        (":MIIB:", "malformed"),
        ("%2D" * 9000, "too_long"),
    ],
)
def test_garbage_is_refused_in_the_words_of_every_miss(harness, plugin, text, word):
    assert ask(harness, plugin, text) == denied(word)


def test_two_headers_in_one_are_none(harness, plugin, leaf, bound, authority):
    """Gunicorn joins what came twice."""
    for text in (f"{leaf.header},{leaf.header}", f"{leaf.header},{authority.sign().header}"):
        assert ask(harness, plugin, text) == denied("malformed")


@pytest.mark.parametrize(("text", "verify"), [("leaf", "SUCCESS"), ("leaf", None), (None, "NONE")])
def test_a_hop_that_has_proven_nothing_may_not_speak_of_certificates(
    harness, plugin, leaf, bound, text, verify
):
    made = exchange(harness, leaf.header if text else None, verify, proven=False)
    with pytest.raises(Problem) as refused:
        plugin.admit(made)
    assert (refused.value.code, refused.value.reason) == (
        "forbidden",
        "client_certificates.unproven_hop",
    )
    assert [event.name for event in made.events] == ["malicious_certificate_header"]


def test_a_phase_that_was_passed_by_mistake_opens_no_other(harness, plugin, leaf, bound):
    assert ask(harness, plugin, leaf, proven=False) == denied("unproven_hop")


def test_admit_says_nothing_of_honest_requests(harness, plugin, leaf):
    for proven, text, verify in ((True, leaf.header, "SUCCESS"), (False, None, None)):
        made = exchange(harness, text, verify, proven=proven)
        plugin.admit(made)
        assert made.events == []


def beside(harness, plugin, client, text, verify="SUCCESS", method="api_keys"):
    """Return why a caller with another credential is refused, None where it may go on."""
    made = exchange(harness, text, verify)
    made.principal = Principal(
        client, client, frozenset(), frozenset(), "standard", method, "credential"
    )
    try:
        return plugin.authorize(made)
    except Problem as refused:
        return (refused.code, refused.reason)


def test_another_credential_and_a_certificate_must_be_one_clients(
    harness, plugin, leaf, bound, authority
):
    assert beside(harness, plugin, "acme", leaf.header) is None
    two = ("malformed_request", "two_credentials")
    assert beside(harness, plugin, "other", leaf.header) == two
    assert beside(harness, plugin, "acme", authority.sign().header) == denied("unknown")
    plugin._bindings.end(bound.id)
    assert beside(harness, plugin, "acme", leaf.header) == denied("ended")


def test_a_client_that_must_show_its_certificate_is_not_let_in_by_a_key_alone(
    harness, leaf, authority
):
    plugin = harness.build(ClientCertificates, {"require": ["acme"]})
    plugin._bindings.bind_leaf("acme", from_der(leaf.der))
    other = authority.sign()
    harness.clients.add("other")
    plugin._bindings.bind_leaf("other", from_der(other.der))

    assert beside(harness, plugin, "acme", None, "NONE") == denied("required")
    assert beside(harness, plugin, "acme", "", "SUCCESS") == denied("required")
    assert beside(harness, plugin, "acme", other.header)[1] == "two_credentials"
    assert beside(harness, plugin, "acme", leaf.header) is None
    assert beside(harness, plugin, "other", None, "NONE") is None


def test_access_explain_is_told_of_credentials_and_not_of_the_question(harness):
    plugin = harness.build(ClientCertificates, {"require": ["acme"]})
    assert beside(harness, plugin, "acme", None, None, method=EXPLAIN_METHOD) is None
    assert beside(harness, plugin, "acme", None, None, method="client_certificates") is None
    assert beside(harness, plugin, "acme", None, None, method="api_keys") == denied("required")


def test_a_store_that_cannot_be_asked_is_no_permission(harness, plugin, leaf, bound):
    assert ask(harness, plugin, leaf).client == "acme"
    (harness.folder / "secureml.db").unlink()
    assert ask(harness, plugin, leaf) == ("unavailable", "client_certificates.store")


def test_the_clients_credentials_are_listed_with_their_state(harness, plugin, bound):
    (found,) = plugin.credentials("acme")
    assert (found.id, found.method, found.scopes, found.state) == (
        bound.id,
        "client_certificates",
        None,
        "active",
    )
    harness.clock.advance(91 * DAY)
    assert plugin.credentials("acme")[0].state == "expired"
    assert plugin.credentials("nobody") == []


def test_how_many_and_until_when_is_measured(plugin, harness, bound):
    measured = {each.name: each.value for each in plugin.measures()}
    assert measured == {
        "client_certificates_active": 1,
        "client_certificate_next_expiry_timestamp_seconds": START + 90 * DAY,
    }
    plugin._bindings.end(bound.id)
    assert [each.value for each in plugin.measures()] == [0]


@pytest.mark.parametrize(
    "table", [{"require": "acme"}, {"unverified": 2}, {"unverified": "yes"}, {"header": "X"}]
)
def test_a_word_that_makes_no_sense_stops_the_start(harness, table):
    with pytest.raises(ConfigError):
        harness.build(ClientCertificates, table)


def test_it_cannot_be_observed_only(harness):
    with pytest.raises(ConfigError, match="cannot be observed"):
        harness.build(ClientCertificates, {"mode": "observe"})
