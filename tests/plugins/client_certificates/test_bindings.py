"""The list of bindings: the exact certificate first, a name only under its authority."""

from __future__ import annotations

import pytest
from made_certificates import DAY, SERVER_AUTH, Authority

from plugins.client_certificates.bindings import BindingFault, Bindings
from secureml.kit.client_certificate import from_der
from secureml.testing import START


@pytest.fixture
def bindings(harness):
    return Bindings(harness.store, harness.clock)


def found(bindings, minted, *, verified=True):
    """Return the client, or why there is none."""
    binding, word = bindings.find(from_der(minted.der), verified=verified)
    return binding.client if binding else word


def test_the_exact_certificate_speaks_for_its_client_and_no_other_does(bindings, authority, leaf):
    """Not even one with the same subject, from the same authority, for the same key."""
    made = bindings.bind_leaf("acme", from_der(leaf.der), label="batch")

    assert found(bindings, leaf) == "acme"
    assert found(bindings, leaf, verified=False) == "acme"
    assert found(bindings, authority.sign()) == "unknown"
    assert found(bindings, authority.sign(key=leaf.key)) == "unknown"
    assert found(bindings, Authority(START).sign()) == "unknown"
    assert made.expires == START + 90 * DAY
    assert (made.label, made.kind, len(made.subject)) == ("batch", "certificate", 43)


def test_a_name_speaks_in_every_certificate_of_its_authority(bindings, authority, leaf):
    bindings.bind_name("acme", "batch.example.org", authority.own.der)

    assert found(bindings, leaf) == "acme"
    assert found(bindings, authority.sign()) == "acme"
    assert found(bindings, authority.sign(dns=("x.org", "Batch.example.org"))) == "acme"


@pytest.mark.parametrize(
    "dns", [(), ("batch.example.org.evil.org",), ("*.example.org",), ("xbatch.example.org",)]
)
def test_a_name_is_the_whole_name(bindings, authority, dns):
    bindings.bind_name("acme", "batch.example.org", authority.own.der)
    assert found(bindings, authority.sign(dns=dns)) == "unknown"


def test_another_authority_with_the_same_name_signs_in_vain(bindings, authority):
    """Also where Nginx trusts both of them."""
    bindings.bind_name("acme", "batch.example.org", authority.own.der)
    assert found(bindings, Authority(START).sign()) == "unknown"


def test_a_name_counts_only_where_nginx_has_verified(bindings, authority, leaf):
    bindings.bind_name("acme", "batch.example.org", authority.own.der)
    assert found(bindings, leaf, verified=False) == "unverified"


def test_a_name_ends_with_its_authority(bindings, harness):
    short = Authority(START, days=10)
    bindings.bind_name("acme", "batch.example.org", short.own.der)
    assert found(bindings, short.sign()) == "acme"
    harness.clock.advance(11 * DAY)
    assert found(bindings, short.sign()) == "authority_expired"


def test_a_certificate_whose_names_are_of_two_clients_speaks_for_neither(bindings, authority):
    bindings.bind_name("acme", "a.example.org", authority.own.der)
    bindings.bind_name("other", "b.example.org", authority.own.der)
    assert found(bindings, authority.sign(dns=("a.example.org", "b.example.org"))) == "ambiguous"


def test_the_exact_certificate_goes_before_its_name(bindings, authority, leaf):
    bindings.bind_name("byname", "batch.example.org", authority.own.der)
    made = bindings.bind_leaf("exact", from_der(leaf.der))
    assert found(bindings, leaf) == "exact"
    bindings.end(made.id)
    assert found(bindings, leaf) == "ended"  # and does not come back by its name
    assert found(bindings, authority.sign()) == "byname"


def test_what_has_ended_speaks_for_nobody_and_stays_as_it_was(bindings, authority, leaf, harness):
    exact = bindings.bind_leaf("acme", from_der(leaf.der))
    name = bindings.bind_name("acme", "batch.example.org", authority.own.der)
    first = bindings.end(exact.id), bindings.end(name.id)
    harness.clock.advance(5)
    assert (bindings.end(exact.id), bindings.end(name.id)) == first
    assert found(bindings, leaf) == found(bindings, authority.sign()) == "ended"
    assert [each.state(harness.clock()) for each in bindings.list()] == ["revoked"] * 2


def test_what_has_ended_may_be_bound_anew(bindings, leaf):
    bindings.end(bindings.bind_leaf("acme", from_der(leaf.der)).id)
    bindings.bind_leaf("other", from_der(leaf.der))
    assert found(bindings, leaf) == "other"


def test_one_certificate_is_not_two_clients(bindings, authority, leaf):
    bindings.bind_leaf("acme", from_der(leaf.der))
    bindings.bind_name("acme", "batch.example.org", authority.own.der)
    with pytest.raises(BindingFault, match="bound to acme already"):
        bindings.bind_leaf("other", from_der(leaf.der))
    with pytest.raises(BindingFault, match="bound to acme already"):
        bindings.bind_name("other", "batch.example.org", authority.own.der)
    # Another authority's name is another name.
    bindings.bind_name("other", "batch.example.org", Authority(START).own.der)


def test_a_certificate_that_could_never_be_used_is_not_bound(bindings, authority):
    for wrong in (authority.sign(days=(-9, -1)), authority.sign(usage=SERVER_AUTH)):
        with pytest.raises(BindingFault):
            bindings.bind_leaf("acme", from_der(wrong.der))
    early = bindings.bind_leaf("acme", from_der(authority.sign(days=(1, 9)).der))
    assert early.client == "acme"  # a successor, laid down before its time


def test_a_leaf_cannot_be_named_as_an_authority(bindings, leaf):
    with pytest.raises(BindingFault, match="not a certificate of an authority"):
        bindings.bind_name("acme", "batch.example.org", leaf.der)


def test_an_unknown_binding_cannot_be_ended(bindings):
    with pytest.raises(BindingFault, match="no binding 'x'"):
        bindings.end("x")


def test_every_change_is_counted_and_reading_is_none(bindings, harness, leaf):
    before = harness.store.versions()
    made = bindings.bind_leaf("acme", from_der(leaf.der))
    bound = harness.store.versions()
    assert bound is not before
    bindings.list()
    bindings.find(from_der(leaf.der), verified=True)
    assert harness.store.versions() is bound
    bindings.end(made.id)
    assert harness.store.versions() is not bound


def test_the_census_counts_what_is_good_now(bindings, authority, harness):
    assert bindings.statistics() == (0, None)
    bindings.bind_leaf("acme", from_der(authority.sign(days=(-1, 3)).der))
    ended = bindings.bind_leaf("acme", from_der(authority.sign(days=(-1, 1)).der))
    bindings.bind_leaf("acme", from_der(authority.sign(days=(-1, 2)).der))
    bindings.end(ended.id)
    assert bindings.statistics() == (2, START + 2 * DAY)
    harness.clock.advance(2.5 * DAY)
    assert bindings.statistics() == (1, START + 3 * DAY)
