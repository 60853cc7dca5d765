"""Access tokens: what they say, by whose key, and what is not read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from plugins.oauth2_server.tokens import TYPE, NewToken, Tokens
from secureml.kit.access_token import parse
from secureml.kit.jwt_claims import InvalidToken
from secureml.kit.signing import SigningFault
from secureml.testing import START
from tests.token_app import pack, sign, unpack

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


# -- what we would not have written ----------------------------------------------------------

NAMES = ("iss", "aud", "sub", "client_id", "exp", "iat", "jti", "sid")


def resigned(harness, header=None, claims=None, drop=(), raw=None):
    """Return a token of ours, changed, under its own good signature."""
    key = harness.signing.active()
    tokens = Tokens(ISSUER, AUDIENCE, 900.0, harness.signing, harness.clock)
    head, body, _ = tokens.write(WORDS).split(".")
    parts = [{**unpack(head), **(header or {})}, {**unpack(body), **(claims or {})}]
    for part in parts:
        for name in drop:
            part.pop(name, None)
    texts = [json.dumps(part).encode() for part in parts]
    if raw is not None:
        texts[1] = raw
    return sign(".".join(pack(text) for text in texts), key.private, key.algorithm)


def test_what_is_changed_by_nothing_holds(tokens, harness):
    """So the refusals below are of the change, and not of the way it is made."""
    assert spoken(tokens, resigned(harness)).subject == "ann"


@pytest.mark.parametrize("name", NAMES)
def test_each_claim_of_rfc_9068_must_be_there(tokens, harness, name):
    assert refusal(tokens, resigned(harness, drop=[name]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, [], {}, True, "", 1.5e308], ids=repr)
def test_each_claim_has_the_type_it_has(tokens, harness, name, value):
    """A library that compares loosely takes `[]` for an audience, or `True` for the year 1970."""
    assert refusal(tokens, resigned(harness, claims={name: value}))


def test_a_life_of_years_is_cut_to_ours(tokens, harness):
    """However it came to be signed."""
    text = resigned(harness, claims={"exp": START + 10 * 365 * 86400})
    assert spoken(tokens, text).ends == START + 900
    harness.clock.advance(900)
    assert why(tokens, text) == "too_old"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "AT+JWT "},
        {"typ": "application/at+jwt"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "es256"},
        {"crit": ["b64"], "b64": False},
        {"jwk": {"kty": "EC"}},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/chain"},
        {"x5c": []},
        {"cty": "JWT"},
        {"zip": "DEF"},
        {"kid": "../../etc/passwd"},
        {"kid": "' OR 1=1 --"},
        {"kid": ""},
        {"kid": None},
        {"kid": 1},
    ],
    ids=str,
)
def test_attack_a_header_that_asks_for_more_trust(tokens, harness, header):
    """RFC 8725, 3.1 and 3.10: a token never says by which key or algorithm it is judged."""
    assert refusal(tokens, resigned(harness, header))


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_a_header_without_one_of_its_three_members_is_refused(tokens, harness, name):
    assert refusal(tokens, resigned(harness, drop=[name]))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b'"ann"',
        b'{"sub":"ann","sub":"bob"}',
        b'{"exp":NaN}',
        b'{"exp":1e999}',
        b'\xff{"sub":"ann"}',
        b'{"sub":"\\ud800"}',
        b"{" * 2000,
    ],
    ids=range(10),
)
def test_attack_claims_that_two_readers_would_read_apart(tokens, harness, raw):
    assert refusal(tokens, resigned(harness, raw=raw))


@pytest.mark.parametrize("change", ["dots", "padding", "spaces", "reversed", "empty", "cut"])
def test_attack_a_signature_that_is_nearly_one(tokens, change):
    head, body, signature = tokens.write(WORDS).split(".")
    texts = {
        "dots": f"{head}.{body}.{signature}.",
        "padding": f"{head}.{body}.{signature}==",
        "spaces": f"{head}.{body}. {signature}",
        "reversed": f"{head}.{body}.{signature[::-1]}",
        "empty": f"{head}.{body}.",
        "cut": f"{head}.{body}.{signature[:-4]}",
    }
    assert refusal(tokens, texts[change])


def test_attack_one_kind_of_key_for_the_algorithm_of_the_other(tokens, harness):
    """One algorithm for each key (RFC 8725, 3.1), whatever the header says."""
    harness.signing.rotate("EdDSA")
    assert refusal(tokens, resigned(harness, {"alg": "ES256"}))
    harness.signing.rotate("ES256")
    assert refusal(tokens, resigned(harness, {"alg": "EdDSA"}))


def test_attack_the_body_of_one_token_under_the_signature_of_another(tokens):
    """Two good tokens of one key do not make a third."""
    one, other = (tokens.write(replace(WORDS, subject=name)).split(".") for name in ("ann", "bob"))
    assert refusal(tokens, ".".join([one[0], other[1], one[2]]))


@pytest.mark.parametrize("scope", ["", "predict", "a b c"])
def test_scopes_are_read_as_they_were_written(tokens, scope):
    words = replace(WORDS, scopes=frozenset(scope.split()))
    assert spoken(tokens, tokens.write(words)).scopes == frozenset(scope.split())


def test_two_tokens_alike_but_for_their_id_are_two(tokens):
    assert tokens.write(WORDS) != tokens.write(replace(WORDS, jti="b" * 32))


def test_without_a_key_nothing_is_written(harness):
    bare = Tokens(ISSUER, AUDIENCE, 900.0, harness.signing, harness.clock)
    with pytest.raises(SigningFault):
        bare.write(WORDS)


def refusal(tokens, text):
    """Return why a text is no token of ours, "unreadable" where it is none at all."""
    try:
        token = parse(text)
        if token is None:
            return "unreadable"
        tokens.read(token)
    except InvalidToken as refused:
        return refused.reason
    return ""
