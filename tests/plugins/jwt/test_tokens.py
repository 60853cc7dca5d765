"""The rules of a token, without a key, a store or an app: `check_*` and `parse` alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_app import pack

from plugins.jwt import tokens
from plugins.jwt.tokens import ACCESS, REFRESH, TokenPolicy
from secureml.kit.jwt_claims import InvalidToken

NOW = 1000.0
POLICY = TokenPolicy("https://ml.example.org", "ml", {ACCESS: 900.0, REFRESH: 9000.0}, 0.0)
HEADER = {"alg": "ES256", "kid": "k" * 43, "typ": "at+jwt"}
SIGNATURE = "s" * 86


def claims(kind=ACCESS, **changes):
    """Return claims that keep every rule, with changes."""
    made = tokens.compose(
        client="acme",
        family="f" * 32,
        jti="a" * 32,
        now=NOW,
        expires=NOW + POLICY.lifetimes[kind],
        scopes=frozenset({"b", "a"}) if kind == ACCESS else None,
    )
    made |= {"iss": POLICY.issuer, "aud": POLICY.audience, "sub": "acme", "type": kind}
    return {**made, **changes}


def reason(check, *facts):
    """Return the word a check refuses with, or None."""
    try:
        check(*facts)
    except InvalidToken as refused:
        return refused.reason
    return None


@pytest.mark.parametrize("kind", [ACCESS, REFRESH])
def test_what_we_compose_keeps_our_rules(kind):
    """The two halves of this file agree."""
    assert reason(tokens.check_claims, claims(kind), kind, POLICY, NOW) is None


def test_scopes_are_written_in_order_and_a_refresh_token_has_none():
    """So the same rights are the same text."""
    assert claims()["scope"] == "a b"
    assert "scope" not in claims(REFRESH)


@pytest.mark.parametrize("name", sorted(tokens._CLAIMS))
def test_every_claim_is_required(name):
    """Each by its own name."""
    found = claims()
    del found[name]

    assert reason(tokens.check_claims, found, ACCESS, POLICY, NOW) == f"missing_{name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://ml.example.org/"),
        ("aud", ["ml"]),
        ("type", REFRESH),
        ("jti", "a" * 31),
        ("sid", "A" * 32),
        ("sub", ""),
        ("client_id", "other"),
        ("scope", None),
        ("exp", "1900"),
        ("exp", True),
        ("iat", float("nan")),
        ("iat", NOW + 1),
        ("nbf", NOW + 1),
    ],
)
def test_every_claim_must_be_what_we_would_have_written(name, value):
    """Each refusal names the claim, for the log."""
    changed = claims(**{name: value})

    assert reason(tokens.check_claims, changed, ACCESS, POLICY, NOW) == name


def test_times_are_compared_to_the_second():
    """On or after the end is too late; at the very start is in time."""
    for now, word in ((NOW, None), (NOW + 899.9, None), (NOW + 900, "expired"), (NOW - 0.1, "nbf")):
        assert reason(tokens.check_claims, claims(), ACCESS, POLICY, now) == word


def test_the_leeway_is_for_a_clock_set_back_and_gives_no_token_a_longer_life():
    """It counts for `iat` and `nbf`, to the fraction, and not for `exp`."""
    lenient = TokenPolicy(POLICY.issuer, POLICY.audience, POLICY.lifetimes, 10.0)
    for now, word in (
        (NOW - 10, None),
        (NOW - 10.1, "nbf"),
        (NOW + 899, None),
        (NOW + 900, "expired"),
    ):
        assert reason(tokens.check_claims, claims(), ACCESS, lenient, now) == word


def test_a_lifetime_that_was_shortened_holds_for_tokens_that_are_out():
    """Their age counts."""
    short = TokenPolicy(POLICY.issuer, POLICY.audience, {ACCESS: 60.0, REFRESH: 60.0}, 0.0)

    assert reason(tokens.check_claims, claims(), ACCESS, short, NOW + 59) is None
    assert reason(tokens.check_claims, claims(), ACCESS, short, NOW + 60) == "too_old"


def test_a_header_is_ours_to_the_letter():
    """Each member, no more and no less."""
    assert reason(tokens.check_header, HEADER, ACCESS, POLICY) is None
    for changed, word in (
        ({**HEADER, "jku": "x"}, "header"),
        ({"alg": "ES256"}, "header"),
        ({}, "header"),
        ({**HEADER, "alg": "none"}, "alg"),
        ({**HEADER, "kid": "../x"}, "kid"),
        ({**HEADER, "kid": None}, "kid"),
        ({**HEADER, "typ": "rt+jwt"}, "typ"),
    ):
        assert reason(tokens.check_header, changed, ACCESS, POLICY) == word


def test_reading_gives_what_is_written():
    """Header and claims, unproven."""
    parts = [pack(json.dumps(part).encode()) for part in (HEADER, claims())]
    found = tokens.parse(f"{parts[0]}.{parts[1]}.{SIGNATURE}")

    assert (found.header, found.claims) == (HEADER, claims())


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ('{"a":1,"a":1}', "unreadable"),
        ('{"a":{"b":1,"b":2}}', "unreadable"),
        ('{"a":NaN}', "unreadable"),
        ("{", "unreadable"),
        ("", "shape"),
        ("[]", "unreadable"),
        ("[" * 2000, "unreadable"),
    ],
)
def test_json_is_read_strictly(payload, word):
    """Where two readers could differ, there is nothing to read."""
    text = f"{pack(b'{}')}.{pack(payload.encode())}.{SIGNATURE}"

    assert reason(tokens.parse, text) == word


def test_the_size_is_looked_at_first():
    """4 KiB, to the byte."""
    assert reason(tokens.parse, "x" * 4096) == "shape"
    assert reason(tokens.parse, "x" * 4097) == "oversize"


@given(st.text(alphabet=st.sampled_from("eyJ._-=AZaz09 \n\u00e9"), max_size=300) | st.text())
def test_any_text_at_all_is_read_or_refused(text):
    """Nothing else escapes."""
    reason(tokens.parse, text)


@given(
    st.dictionaries(
        st.sampled_from(sorted(tokens._CLAIMS)),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.lists(st.integers(), max_size=2),
    )
)
def test_any_claims_at_all_are_judged(changes):
    """A value of any kind has an answer, and no stranger's value is let in."""
    changed = {name: value for name, value in changes.items() if value != claims()[name]}
    word = reason(tokens.check_claims, claims(**changes), ACCESS, POLICY, NOW)

    strange = changed.keys() & {"iss", "aud", "sub", "type", "client_id"}
    if strange == {"sub", "client_id"} and changed["sub"] == changed["client_id"]:
        return  # another client's, whole: whose it is the signature says
    if strange:
        assert word is not None
