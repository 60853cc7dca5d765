"""Networks: what comes for free is counted once."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.networks import host_prefix, network_prefix


@pytest.mark.parametrize(
    ("address", "owner", "network"),
    [
        ("192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("", "", ""),
        ("no address", "no address", "no address"),
    ],
)
def test_whose_an_address_is(address, owner, network):
    assert (host_prefix(address), network_prefix(host_prefix(address))) == (owner, network)


def test_it_fits_where_it_is_kept():
    longest = "2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff"
    assert max(len(host_prefix(text)) for text in (longest, "x" * 500)) <= 45
