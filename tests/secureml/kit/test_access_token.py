"""What a token must say: each claim is demanded, and each excess refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.kit.access_token import bound_to, check_claims, check_header, parse
from secureml.kit.jwt_claims import InvalidToken, TokenRequirements, UnverifiedToken, text_claim
from secureml.testing import START
from tests.outside_issuer import AUDIENCE, ISSUER, b64, claims, header, make_token

RULES = TokenRequirements(
    ISSUER, frozenset({AUDIENCE, "ml"}), frozenset({"ES256", "EdDSA"}), frozenset({"at+jwt"})
)

EMPTY = b64("{}")
NO_UTF8 = b"\xff"
TWICE = '{"iss": "a", "iss": "b"}'
NAN, INFINITY = '{"exp": NaN}', '{"exp": -Infinity}'
SURROGATE = '{"sub": "\\ud800"}'
LONG_NUMBER = '{"exp": ' + "9" * 5000 + "}"


def token(head=None, **changed):
    return UnverifiedToken("", head or header(), claims(**changed))


def refused(check, *words):
    with pytest.raises(InvalidToken) as error:
        check(*words)
    return error.value.reason


def test_a_whole_token_passes():
    check_header(token(), RULES)
    check_claims(token(nbf=START), RULES, START)


def test_a_token_is_taken_apart():
    taken = parse(make_token())

    assert taken.issuer == ISSUER
    assert (taken.algorithm, taken.kid) == ("ES256", "ec-1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "sml_0123456789ab",
        f"{EMPTY}=.{EMPTY}.x",
        f"{b64('[]')}.{EMPTY}.x",
        f"{EMPTY}.{b64('1')}.x",
        f"{EMPTY}.{b64('{')}.x",
        f"{EMPTY}.{b64(NO_UTF8)}.x",
        f"{EMPTY}.{b64(TWICE)}.x",
        f"{b64(TWICE)}.{EMPTY}.x",
        f"{EMPTY}.{b64(NAN)}.x",
        f"{EMPTY}.{b64(INFINITY)}.x",
        f"{EMPTY}.{b64(SURROGATE)}.x",
        f"{EMPTY}.{b64('[' * 5000)}.x",
        f"{EMPTY}.{b64(LONG_NUMBER)}.x",
        "é.é.é",
    ],
)
def test_what_is_no_token_is_read_as_none(text):
    assert parse(text) is None


@given(st.text(max_size=200))
def test_no_text_at_all_makes_reading_fail(text):
    assert parse(text) is None or isinstance(parse(text), UnverifiedToken)


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"])
@pytest.mark.parametrize("value", [None, [], {}, "https://evil.example/jwks"])
def test_a_header_that_brings_a_key_or_changes_the_rules_is_refused(member, value):
    head = header() | {member: value}

    assert refused(check_header, token(head), RULES) == "header"


@pytest.mark.parametrize(
    "alg", ["none", "HS256", "RS256", "ES384", "es256", "", 1, None, ["ES256"]]
)
def test_an_algorithm_outside_the_list_is_refused(alg):
    assert refused(check_header, token(header(alg=alg)), RULES) == "alg"


def test_ed25519_is_the_new_name_of_eddsa():
    """RFC 9864."""
    check_header(token(header(alg="Ed25519")), RULES)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "dpop+jwt", "id+jwt", "at+jwt ", "", 1, None])
def test_another_type_is_refused(typ):
    assert refused(check_header, token(header(typ=typ)), RULES) == "typ"


def test_the_type_is_compared_without_case():
    """RFC 7515, 4.1.9: a media type."""
    check_header(token(header(typ="AT+JWT")), RULES)


@pytest.mark.parametrize("kid", [1, ["ec-1"], {"a": 1}, "k" * 256])
def test_a_key_id_is_a_short_text(kid):
    assert refused(check_header, token(header(kid=kid)), RULES) == "kid"


@pytest.mark.parametrize("iss", [None, "", ISSUER + "/", ISSUER.upper(), [ISSUER], 1])
def test_another_issuer_is_refused(iss):
    assert refused(check_claims, token(iss=iss), RULES, START) == "iss"


@pytest.mark.parametrize("aud", ["other", ["other"], [], "", AUDIENCE + "/"])
def test_another_audience_is_refused(aud):
    assert refused(check_claims, token(aud=aud), RULES, START) == "aud"


@pytest.mark.parametrize("aud", [None, 1, {"a": AUDIENCE}, [AUDIENCE, 1], [[AUDIENCE]]])
def test_an_audience_of_another_shape_is_refused(aud):
    assert refused(check_claims, token(aud=aud), RULES, START) == "aud"


def test_one_of_several_audiences_is_enough():
    check_claims(token(aud=["other", "ml"]), RULES, START)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1", True, [], -1, 2**53 + 2, 10**400, float("inf")])
def test_a_time_is_a_sensible_number(name, value):
    assert refused(check_claims, token(**{name: value}), RULES, START) == f"{name}"


@pytest.mark.parametrize("name", ["exp", "iat", "sub"])
def test_a_missing_claim_is_refused(name):
    assert refused(check_claims, token(**{name: None}), RULES, START) == f"{name}"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": START}, "expired"),
        ({"exp": START - 1}, "expired"),
        ({"iat": START + 1}, "iat"),
        ({"nbf": START + 1}, "nbf"),
    ],
)
def test_the_moment_must_be_right_to_the_second(changed, reason):
    assert refused(check_claims, token(**changed), RULES, START) == reason


def test_a_leeway_widens_both_ends_and_no_more():
    rules = TokenRequirements(
        ISSUER, RULES.audiences, RULES.algorithms, RULES.types, expiry_leeway=30, clock_skew=30
    )

    check_claims(token(exp=START - 29, iat=START + 30, nbf=START + 30), rules, START)
    assert refused(check_claims, token(exp=START - 30), rules, START) == "expired"
    assert refused(check_claims, token(iat=START + 31), rules, START) == "iat"


@pytest.mark.parametrize("sub", ["", "x" * 256, "a\nb", 7, ["a"]])
def test_a_subject_is_a_printable_text(sub):
    assert refused(check_claims, token(sub=sub), RULES, START) == "sub"


@pytest.mark.parametrize("mark", ["nonce", "at_hash", "c_hash", "s_hash", "events"])
def test_an_id_token_is_no_access_token(mark):
    assert refused(check_claims, token(**{mark: "x"}), RULES, START) == "not_an_access_token"


@pytest.mark.parametrize(
    "word", [{"typ": "ID"}, {"typ": "Refresh"}, {"typ": []}, {"token_use": "id"}]
)
def test_what_providers_call_something_else_is_none(word):
    """Keycloak's `typ` claim, Cognito's `token_use`."""
    assert refused(check_claims, token(**word), RULES, START) == "not_an_access_token"


def test_what_providers_call_an_access_token_is_one():
    check_claims(token(typ="Bearer", token_use="access"), RULES, START)


def test_a_binding_is_the_thumbprint_or_none():
    assert bound_to({}) is None
    assert bound_to({"cnf": {"jkt": "abc"}}) == "abc"


@pytest.mark.parametrize(
    "cnf",
    [None, {}, "abc", {"jkt": ""}, {"jkt": 1}, {"x5t#S256": "abc"}, {"jkt": "a", "jwk": {}}],
)
def test_a_binding_we_cannot_check_is_not_passed_over(cnf):
    assert refused(bound_to, {"cnf": cnf}) == "binding"


def test_a_text_is_handed_out_only_whole():
    assert text_claim({"sub": "a"}, "sub") == "a"
    assert refused(text_claim, {}, "azp") == "azp"
