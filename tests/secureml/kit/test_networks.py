"""Networks: what comes for free is counted once."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.kit.networks import host_prefix, is_loopback, network_prefix, parse_address


@pytest.mark.parametrize(
    ("address", "host", "network"),
    [
        ("192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
        ("::", "::/64", "::/48"),
        ("", "", ""),
        ("no address", "no address", "no address"),
        ("not:an:address", "not:an:address", "not:an:address"),
        ("2001:db8::/64/64", "2001:db8::/64/64", "2001:db8::/64/64"),
    ],
)
def test_whose_an_address_is(address, host, network):
    assert (host_prefix(address), network_prefix(address)) == (host, network)
    assert network_prefix(host_prefix(address)) == network


@given(st.ip_addresses())
def test_both_are_networks_that_the_address_lies_in(address):
    found = parse_address(str(address))
    assert found in ip_network(host_prefix(str(address)))
    assert found in ip_network(network_prefix(str(address)))


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_attack_no_other_address_of_the_same_subscriber_is_counted_anew(address, host):
    neighbour = IPv6Address(int(address) >> 64 << 64 | host)
    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert host_prefix(str(address)) == host_prefix(str(neighbour))


@pytest.mark.parametrize("text", ["x" * 500, "::1%" + "x" * 500, "1" * 500, "a:" * 300])
def test_attack_a_long_text_fits_where_addresses_are_kept(text):
    assert len(host_prefix(text)) <= 45
    assert len(network_prefix(text)) <= 45


def test_the_longest_address_fits_too():
    assert len(host_prefix("2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff")) <= 45


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.0/8", "1.2.3", "01.2.3.4", "1", " ::1"])
def test_what_is_no_address_is_none(text):
    assert parse_address(text) is None


def test_this_machine_is_known_without_asking():
    for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1", "localhost"):
        assert is_loopback(host)
    for host in ("localhost.evil.example", "10.0.0.1", "::2", "", "[", "LOCALHOST.", "0.0.0.0"):
        assert not is_loopback(host)
