from __future__ import annotations

import pytest

from plugins.theft_guard.guard import ALL, BLOCK, CLIENT, block_of, parties


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("a socket", "a socket"),
    ],
)
def test_a_block_is_what_one_party_can_easily_have(address, block):
    assert block_of(address) == block


def test_a_request_is_judged_with_its_client_its_block_and_everyone():
    assert [(p.kind, p.name) for p in parties("alice", "192.0.2.1", "m")] == [
        (CLIENT, "alice"),
        (BLOCK, "192.0.2.0/24"),
        (ALL, "*"),
    ]
    assert [p.kind for p in parties("alice", "", "m")] == [CLIENT, ALL]
