"""Header and claims of a JWT, judged without a key, a clock or a library for signatures."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secureml.kit.jwt_claims import (
    InvalidToken,
    TokenRequirements,
    canonical_algorithm,
    check_registered_claims,
    check_registered_header,
    parse_token,
    text_claim,
    time_claim,
)

NOW = 1000.0
ANY = TokenRequirements(
    "https://as.example", frozenset({"ml"}), frozenset({"ES256", "EdDSA"}), frozenset({"at+jwt"})
)
EXACT = replace(
    ANY,
    header_names=frozenset({"alg", "kid", "typ"}),
    required=frozenset({"jti"}),
    single_audience=True,
    max_age=60.0,
)
HEADER = {"alg": "ES256", "kid": "k", "typ": "at+jwt"}
CLAIMS = {"iss": "https://as.example", "aud": "ml", "sub": "acme", "exp": 2000, "iat": 1000}


def reason(check, *facts, **more):
    """Return the word a check refuses with, or None."""
    try:
        check(*facts, **more)
    except InvalidToken as refused:
        return refused.reason
    return None


def compact(header=HEADER, claims=CLAIMS, signature="s" * 86):
    """Return a token; parts that are text are taken as they are."""
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    packed = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*packed, signature])


def test_a_token_is_taken_apart():
    """Header, claims, and the text itself."""
    found = parse_token(compact(), max_length=4096)

    assert (found.header, found.claims, found.text) == (HEADER, CLAIMS, compact())
    assert (found.issuer, found.algorithm) == ("https://as.example", "ES256")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x" * 500, "oversize"),
        ("a.b", "shape"),
        ("a.b.c.d", "shape"),
        (".b.c", "shape"),
        (compact() + "=", "shape"),
        (compact() + "\n", "shape"),
        (compact(claims='{"a":1,"a":2}'), "unreadable"),
        (compact(claims='{"exp":NaN}'), "unreadable"),
        (compact(claims="[]"), "unreadable"),
        ("a.b.c", "unreadable"),
    ],
)
def test_a_text_that_two_readers_could_read_differently_is_refused(text, word):
    """Before anything in it is looked at."""
    assert reason(parse_token, text, max_length=400) == word


def test_the_length_of_a_signature_can_be_demanded():
    """Where every allowed algorithm has the same."""
    assert reason(parse_token, compact(), max_length=400, signature_length=86) is None
    assert reason(parse_token, compact(signature="s" * 85), max_length=400) is None
    short = compact(signature="s" * 85)
    assert reason(parse_token, short, max_length=400, signature_length=86) == "shape"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"])
def test_attack_a_header_that_brings_a_key_or_changes_what_is_signed(name):
    """RFC 8725, 3.10."""
    for requirements in (ANY, EXACT):
        assert reason(check_registered_header, {**HEADER, name: "x"}, requirements) == "header"


def test_other_members_of_a_header_are_refused_only_where_they_are_listed():
    """An issuer of our own writes three; another may write more."""
    assert reason(check_registered_header, {**HEADER, "x5t": "x"}, ANY) is None
    assert reason(check_registered_header, {**HEADER, "x5t": "x"}, EXACT) == "header"
    assert reason(check_registered_header, {"alg": "ES256", "typ": "at+jwt"}, ANY) is None
    assert reason(check_registered_header, {"alg": "ES256", "typ": "at+jwt"}, EXACT) == "header"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"alg": "none"}, "alg"),
        ({"alg": "HS256"}, "alg"),
        ({"alg": ["ES256"]}, "alg"),
        ({"kid": None}, "kid"),
        ({"kid": "k" * 256}, "kid"),
        ({"typ": "JWT"}, "typ"),
        ({"typ": 1}, "typ"),
        ({"typ": "AT+JWT"}, None),
        ({"alg": "Ed25519"}, None),
    ],
)
def test_a_header_names_an_allowed_algorithm_and_type(change, word):
    """Ed25519 is another name of EdDSA (RFC 9864)."""
    assert reason(check_registered_header, {**HEADER, **change}, ANY) == word


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"iss": "https://as.example/"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": ["other", "ml"]}, None),
        ({"aud": ["ml", 1]}, "aud"),
        ({"aud": None}, "aud"),
        ({"sub": ""}, "sub"),
        ({"sub": "a\nb"}, "sub"),
        ({"sub": "a" * 256}, "sub"),
        ({"exp": True}, "exp"),
        ({"exp": "2000"}, "exp"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"iat": -1}, "iat"),
        ({"iat": None}, "iat"),
        ({"nbf": "x"}, "nbf"),
        ({"exp": 1000}, "expired"),
        ({"iat": 1001}, "iat"),
        ({"nbf": 1001}, "nbf"),
    ],
)
def test_every_claim_is_judged(change, word):
    """Each refusal names the claim."""
    assert reason(check_registered_claims, {**CLAIMS, **change}, ANY, NOW) == word


def test_what_is_required_must_be_there():
    """And a list of audiences is refused where one is demanded."""
    whole = {**CLAIMS, "jti": "x"}
    assert reason(check_registered_claims, whole, EXACT, NOW) is None
    assert reason(check_registered_claims, CLAIMS, EXACT, NOW) == "missing_jti"
    assert reason(check_registered_claims, {**whole, "aud": ["ml"]}, EXACT, NOW) == "aud"


def test_leeway_skew_and_age_are_counted_to_the_fraction():
    """Each by itself."""
    loose = replace(ANY, expiry_leeway=10.0, clock_skew=5.0)
    for now, word in ((995.0, None), (994.9, "iat"), (2009.9, None), (2010.0, "expired")):
        assert reason(check_registered_claims, CLAIMS, loose, now) == word
    aged = replace(ANY, max_age=60.0)
    for now, word in ((1059.9, None), (1060.0, "too_old")):
        assert reason(check_registered_claims, CLAIMS, aged, now) == word


def test_claims_of_an_issuer_are_read_by_type():
    """For what only the issuer knows the names of."""
    assert text_claim({"client_id": "acme"}, "client_id") == "acme"
    assert time_claim({"auth_time": 1.5}, "auth_time") == 1.5
    assert reason(text_claim, {}, "client_id") == "client_id"
    assert reason(time_claim, {}, "auth_time") == "auth_time"
    assert canonical_algorithm(None) == ""


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(sorted({*CLAIMS, "nbf"})),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text("ab01", max_size=5)
        | st.lists(st.text("ml", max_size=3)),
    )
)
def test_any_claims_at_all_are_judged(changes):
    """A value of any kind has an answer, and nothing but InvalidToken escapes."""
    word = reason(check_registered_claims, {**CLAIMS, **changes}, ANY, NOW)
    assert word is None or isinstance(word, str)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet=st.sampled_from("eyJ._-=AZaz09 \n\u00e9"), max_size=300))
def test_any_text_at_all_is_parsed_or_refused(text):
    """Nothing else escapes."""
    reason(parse_token, text, max_length=200)
