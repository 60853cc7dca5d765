"""Proofs of possession: RFC 9449's own example, and each member of a proof changed in turn."""

from __future__ import annotations

import json

import pytest
from joserfc.jwk import ECKey, OctKey

from secureml.kit.dpop import Expected, check_proof
from secureml.kit.jwt_claims import InvalidToken
from secureml.testing import START
from tests.outside_issuer import AUDIENCE, EC, EC_OTHER, ED, b64, forge, proof, rsa, sign

# RFC 9449, section 7.1, and the thumbprint of section 6.1.
EXAMPLE = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik"
    "VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR"
    "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE"
    "QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj"
    "oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z"
    "WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF"
    "c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E"
    "OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
EXAMPLE_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
EXAMPLE_TIME = 1562262618

TOKEN = "the.access.token"


def asked(key=EC, **changed):
    words = {
        "method": "GET",
        "path": "/v1/models",
        "origins": {AUDIENCE},
        "token": TOKEN,
        "thumbprint": key.thumbprint(),
    }
    return Expected(**(words | changed))


def refused(text, request=None, now=START):
    with pytest.raises(InvalidToken) as error:
        check_proof(text, request or asked(), now)
    return error.value.reason


def head(key=EC, **changed):
    whole = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)} | changed
    return {name: value for name, value in whole.items() if value is not None}


def test_the_example_of_the_standard_holds():
    request = Expected(
        "GET",
        "/protectedresource",
        {"https://resource.example.org"},
        EXAMPLE_TOKEN,
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
    )

    assert check_proof(EXAMPLE, request, EXAMPLE_TIME).ends == EXAMPLE_TIME + 300
    assert refused(EXAMPLE, request._replace(method="POST"), EXAMPLE_TIME) == "dpop_method"
    assert refused(EXAMPLE, request._replace(token="x"), EXAMPLE_TIME) == "dpop_other_token"


@pytest.mark.parametrize(("key", "alg"), [(EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519")])
def test_each_algorithm_proves(key, alg):
    text = proof(key, TOKEN, head(key, alg=alg))

    assert check_proof(text, asked(key), START).ends == START + 300


def test_an_rsa_proof_fits_under_the_limits():
    """The library's own limit of 512 characters for a header would cut the key off."""
    key = rsa(3072)
    text = proof(key, TOKEN, head(key, alg="PS256"))

    assert check_proof(text, asked(key), START)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"htm": None}, "dpop_method"),
        ({"htm": "POST"}, "dpop_method"),
        ({"htm": "get"}, "dpop_method"),
        ({"htu": None}, "dpop_address"),
        ({"htu": 1}, "dpop_address"),
        ({"htu": f"{AUDIENCE}/v1/model"}, "dpop_address"),
        ({"htu": f"{AUDIENCE}/v1/models/"}, "dpop_address"),
        ({"htu": "http://ml.example.org/v1/models"}, "dpop_address"),
        ({"htu": "https://evil.example/v1/models"}, "dpop_address"),
        ({"htu": "https://ml.example.org:8443/v1/models"}, "dpop_address"),
        ({"htu": "https://u@ml.example.org/v1/models"}, "dpop_address"),
        ({"htu": "https://ml.example.org@evil.example/v1/models"}, "dpop_address"),
        ({"htu": "/v1/models"}, "dpop_address"),
        ({"htu": "https://[::1/v1/models"}, "dpop_address"),
        ({"htu": f"{AUDIENCE}/%ff"}, "dpop_address"),
        ({"iat": None}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"iat": START - 300}, "dpop_time"),
        ({"iat": START + 61}, "dpop_time"),
        ({"ath": None}, "dpop_other_token"),
        ({"ath": "x"}, "dpop_other_token"),
        ({"ath": 1}, "dpop_other_token"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 1}, "jti"),
        ({"jti": "x" * 256}, "jti"),
    ],
)
def test_each_claim_is_demanded(changed, reason):
    assert refused(proof(EC, TOKEN, **changed)) == reason


@pytest.mark.parametrize(
    "changed",
    [
        {"typ": None},
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"alg": None},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"jwk": None},
        {"jwk": "key"},
        {"jwk": []},
        {"jwk": EC.as_dict(private=True)},
        {"jku": "https://evil.example"},
        {"x5u": "https://evil.example"},
        {"x5c": []},
        {"crit": ["exp"]},
        {"b64": False},
    ],
)
def test_each_member_of_the_header_is_demanded(changed):
    _, payload, signature = proof(EC, TOKEN).split(".")

    assert refused(f"{b64(json.dumps(head(**changed)))}.{payload}.{signature}") == "dpop_header"


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        OctKey.generate_key(256).as_dict(private=True) | {"k": None},
        ECKey.generate_key("P-521").as_dict(private=False),
        {},
    ],
)
def test_a_key_that_is_none_is_refused(jwk):
    assert refused(sign(head(jwk=jwk), "{}")) in ("dpop_key", "dpop_header")


def test_a_weak_rsa_key_proves_nothing():
    key = rsa(2048)

    assert refused(proof(key, TOKEN, head(key, alg="PS256")), asked(key)) == "dpop_key"


def test_a_proof_by_another_key_is_refused():
    """A stolen token is no use to whoever makes proofs with a key of his own."""
    assert refused(proof(EC_OTHER, TOKEN)) == "dpop_other_key"


def test_a_proof_that_shows_the_right_key_and_is_signed_by_another_is_refused():
    assert refused(proof(EC_OTHER, TOKEN, head(EC))) == "dpop_signature"


def test_a_proof_sealed_with_the_public_key_as_a_secret_is_refused():
    assert refused(forge(head(alg="HS256"), {}, EC.as_pem(private=False))) == "dpop_header"


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "a" * 9000, f"{EXAMPLE},{EXAMPLE}"])
def test_what_is_no_single_proof_is_refused(text):
    """Two DPoP headers arrive as one with a comma."""
    assert refused(text) == "dpop_malformed"


@pytest.mark.parametrize(
    "htu",
    [
        f"{AUDIENCE}/v1/models?a=b",
        f"{AUDIENCE}/v1/models#x",
        f"{AUDIENCE}:443/v1/models",
        "HTTPS://ML.example.org/v1/models",
        f"{AUDIENCE}/v1/%6dodels",
    ],
)
def test_an_address_has_several_honest_spellings(htu):
    """RFC 9449, 4.3; RFC 3986, 6.2."""
    assert check_proof(proof(EC, TOKEN, htu=htu), asked(), START)


def test_no_origin_in_the_settings_means_no_proof_holds():
    assert refused(proof(EC, TOKEN), asked(origins=set())) == "dpop_address"


def test_a_proof_is_good_for_its_window_to_the_second():
    assert check_proof(proof(EC, TOKEN, iat=START - 299), asked(), START)
    assert check_proof(proof(EC, TOKEN, iat=START + 60), asked(), START).ends == START + 360


def test_proofs_are_told_apart_by_key_and_id():
    names = {
        check_proof(proof(key, TOKEN, head(key, alg=alg), jti=jti), asked(key), START).digest
        for key, alg in ((EC, "ES256"), (ED, "EdDSA"))
        for jti in ("a", "b")
    }

    assert len(names) == 4
    assert all(len(name) == 64 for name in names)
