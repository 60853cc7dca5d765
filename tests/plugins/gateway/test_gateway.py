"""Which gateway a header is from, in isolation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.gateway.gateway import Gateway, Unproven, find_gateway


def gateway(**changed):
    words = {
        "name": "g", "tokens": None, "certificates": None, "clients": {"alice": "acme"},
        "known_clients": False, "scopes": frozenset({"predict"}), "models": frozenset({"*"}),
    }  # fmt: skip
    return Gateway(**words | changed)


@given(st.text(max_size=300))
def test_no_text_at_all_is_proof(text):
    """Whatever is in the header: without token and certificate nobody is named."""
    with pytest.raises(Unproven):
        find_gateway(text, None, [gateway()])


def test_an_identity_is_ours_by_the_table_alone():
    assert gateway().client_of("alice") == "acme"
    assert gateway().client_of("acme") is None
    assert gateway(known_clients=True).client_of("acme") == "acme"
    assert gateway(known_clients=True).client_of("alice") == "acme"


@pytest.mark.parametrize(
    ("models", "held", "both"),
    [("*", "ab", "ab"), ("a", "*", "a"), ("ab", "bc", "b"), ("a", "b", ""), ("*", "*", "*")],
)
def test_models_are_those_that_both_sides_hold(models, held, both):
    found = gateway(models=frozenset(models)).models_of(frozenset(held))
    assert found == frozenset(both)
