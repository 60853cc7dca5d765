"""Access tokens: what they say, by whose key, and what is not read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.oauth2_server.tokens import TYPE, NewToken, Tokens
from secureml.kit.access_token import parse
from secureml.kit.jwt_claims import InvalidToken
from secureml.testing import START
from tests.token_app import unpack

ISSUER, AUDIENCE = "https://ml.example.org/oauth2", "https://ml.example.org"
WORDS = NewToken("oc_1", "ann", frozenset({"predict"}), "f" * 32, "a" * 32, START + 900, None)


@pytest.fixture
def tokens(harness):
    harness.signing.rotate()
    return Tokens(ISSUER, AUDIENCE, 900.0, harness.signing, harness.clock)


def spoken(tokens, text):
    return tokens.read(parse(text))


def why(tokens, text):
    with pytest.raises(InvalidToken) as refused:
        spoken(tokens, text)
    return refused.value.reason


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_token_is_that_of_rfc_9068_by_either_kind_of_key(tokens, harness, algorithm):
    key = harness.signing.rotate(algorithm)
    text = tokens.write(WORDS)
    header, claims = (unpack(part) for part in text.split(".")[:2])
    assert header == {"alg": algorithm, "kid": key.kid, "typ": TYPE}
    assert claims == {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "client_id": "oc_1", "scope": "predict",
        "iat": START, "nbf": START, "exp": START + 900, "jti": "a" * 32, "sid": "f" * 32,
    }  # fmt: skip
    said = spoken(tokens, text)
    assert (said.oauth_client, said.subject, said.scopes) == ("oc_1", "ann", {"predict"})
    assert (said.ends, said.issued, said.jkt) == (START + 900, START, None)


def test_a_bound_token_names_its_key(tokens):
    assert spoken(tokens, tokens.write(replace(WORDS, jkt="k"))).jkt == "k"


def test_it_ends_at_the_very_second(tokens, harness):
    text = tokens.write(WORDS)
    harness.clock.advance(899.9)
    assert spoken(tokens, text)
    harness.clock.advance(0.1)
    assert why(tokens, text) == "expired"


def test_a_lifetime_that_was_shortened_holds_for_tokens_that_are_out(tokens, harness):
    text = tokens.write(WORDS)
    short = Tokens(ISSUER, AUDIENCE, 60.0, harness.signing, harness.clock)
    assert spoken(short, text).ends == START + 60
    harness.clock.advance(60)
    assert why(short, text) == "too_old"


def test_a_retired_key_signs_nothing_that_counts(tokens, harness):
    text = tokens.write(WORDS)
    harness.signing.retire(harness.signing.active().kid)
    assert why(tokens, text) == "key_unknown"
    assert spoken(tokens, tokens.write(WORDS))


def test_a_token_of_another_audience_or_with_an_odd_id_is_refused(tokens, harness):
    other = Tokens(ISSUER, "https://other.example", 900.0, harness.signing, harness.clock)
    assert why(tokens, other.write(WORDS)) == "aud"
    assert why(tokens, tokens.write(replace(WORDS, jti="x"))) == "jti"
    assert why(tokens, tokens.write(replace(WORDS, family="F" * 32))) == "sid"


def test_keys_kept_ready_have_an_end(tokens, harness):
    for _ in range(20):
        harness.signing.rotate()
        assert spoken(tokens, tokens.write(WORDS))
    assert len(tokens._ready) <= 16


@pytest.mark.parametrize("back", [1.0, 5.0])
def test_a_clock_that_is_set_back_refuses_no_token_of_ours(tokens, harness, back):
    """NTP, or another host that is a little behind."""
    text = tokens.write(WORDS)
    harness.clock.advance(-back)
    assert spoken(tokens, text)


def test_further_back_than_that_it_is_no_token_of_ours(tokens, harness):
    text = tokens.write(WORDS)
    harness.clock.advance(-5.1)
    assert why(tokens, text) == "nbf"
