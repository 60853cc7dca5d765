"""Which published keys are believed: weak, leaked, symmetric and ambiguous ones are not."""

from __future__ import annotations

import json

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from secureml.kit.jwks import Keys, trust
from secureml.kit.jws_signature import ALGORITHMS, signed_by
from tests.outside_issuer import EC, EC_384, EC_OTHER, ED, b64, forge, header, make_token, rsa, sign

ALLOWED = ("ES256", "EdDSA", "PS256")


def public(key, **members):
    return key.as_dict(private=False) | members


def rules(*entries, algorithms=ALLOWED, bits=2048):
    return [decision.rule for decision in trust(entries, algorithms, bits).decisions]


@pytest.fixture(scope="module")
def rsa_key():
    return rsa(2048, kid="rsa-1")


def test_each_kind_of_key_has_its_one_algorithm(rsa_key):
    keys = trust(
        [public(EC), public(EC_384), public(ED), public(rsa_key)],
        ("ES256", "ES384", "EdDSA", "PS256"),
        2048,
    )

    assert {key.kid: key.alg for key in keys.trusted} == {
        "ec-1": "ES256",
        "ec-384": "ES384",
        "ed-1": "EdDSA",
        "rsa-1": "PS256",
    }


def test_a_key_verifies_what_it_signed_and_nothing_else(rsa_key):
    keys = trust([public(EC), public(ED), public(rsa_key)], ALLOWED, 2048)

    for key, alg in ((EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519"), (rsa_key, "PS256")):
        token = make_token(key, header(alg=alg, kid=key.kid))
        name = "EdDSA" if alg == "Ed25519" else alg
        assert keys.pick(key.kid, name).verifies(token)
        assert not keys.pick(key.kid, name).verifies(token[:-4] + "AAAA")
        assert not keys.pick(
            "ec-1" if key is ED else "ed-1", "ES256" if key is ED else "EdDSA"
        ).verifies(token)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "key",
        [],
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "!!", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": 1, "y": 2},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": "RSA", "n": "A" * 3000, "e": "AQAB"},
        public(EC, kid=1),
        public(EC, kid="k" * 256),
    ],
)
def test_a_key_that_is_none_is_dropped_alone(entry):
    keys = trust([entry, public(EC_OTHER)], ALLOWED, 2048)

    assert keys.decisions[0].rule == "malformed"
    assert [key.kid for key in keys.trusted] == ["ec-2"]


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": ["EC"]},
        {},
        ECKey.generate_key("P-521").as_dict(private=False),
        OKPKey.generate_key("X25519").as_dict(private=False),
        OKPKey.generate_key("Ed448").as_dict(private=False),
        public(EC_384),
        public(EC, alg="ES384"),
        public(EC, alg="HS256"),
        public(EC, alg="none"),
        public(EC, alg=None),
        public(EC, alg=["ES256"]),
    ],
)
def test_a_key_of_another_algorithm_is_left_aside(entry):
    assert rules(entry) == ["algorithm"]


@pytest.mark.parametrize(
    "members", [{"use": "enc"}, {"use": 1}, {"key_ops": ["encrypt"]}, {"key_ops": "verify"}]
)
def test_a_key_for_another_purpose_is_left_aside(members):
    assert rules(public(EC, **members)) == ["purpose"]


def test_a_key_that_says_it_is_for_this_is_taken():
    assert rules(
        public(EC, use="sig", alg="ES256", key_ops=["verify"], x5t="x", x5c="no list")
    ) == [""]
    assert rules(public(ED, alg="Ed25519")) == [""]


def test_a_symmetric_key_in_public_is_nobodys_secret():
    assert rules(OctKey.generate_key(256).as_dict(private=True)) == ["symmetric"]


def test_a_key_published_with_its_private_part_is_dropped_and_so_is_its_twin():
    """Whoever read the set can sign with it, under whichever id."""
    twin = public(EC, kid="other")

    assert rules(EC.as_dict(private=True), twin, public(EC_OTHER)) == ["private", "private", ""]
    assert rules(twin, EC.as_dict(private=True)) == ["private", "private"]


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_any_private_member_gives_a_key_away(member, rsa_key):
    assert rules(public(rsa_key, **{member: "AA"})) == ["private"]


def test_a_small_rsa_key_counts_only_where_the_settings_say(rsa_key):
    assert rules(public(rsa_key), bits=3072) == ["weak"]
    assert rules(public(rsa_key), bits=2048) == [""]


def test_a_tiny_exponent_is_weak(rsa_key):
    assert rules(public(rsa_key, e="Aw")) == ["weak"]


def test_an_rsa_key_has_one_padding(rsa_key):
    both = ("PS256", "RS256")

    assert rules(public(rsa_key), algorithms=both) == ["two_algorithms"]
    assert rules(public(rsa_key, alg="RS256"), algorithms=both) == [""]
    assert rules(public(rsa_key, alg="RS256")) == ["algorithm"]
    assert rules(public(rsa_key), algorithms=("RS256",)) == [""]


def test_one_id_for_two_keys_names_neither():
    keys = trust([public(EC), public(EC_OTHER, kid="ec-1"), public(ED)], ALLOWED, 2048)

    assert [decision.rule for decision in keys.decisions] == ["kid_twice", "kid_twice", ""]
    assert keys.pick("ec-1", "ES256") is None


def test_the_same_key_twice_is_one():
    keys = trust([public(EC), public(EC)], ALLOWED, 2048)

    assert len(keys.trusted) == 1
    assert keys.pick("ec-1", "ES256") is not None


def test_a_token_without_an_id_is_matched_only_where_there_is_no_choice():
    one, two = (
        trust([public(EC)], ALLOWED, 2048),
        trust([public(EC), public(EC_OTHER)], ALLOWED, 2048),
    )

    assert one.pick(None, "ES256").kid == "ec-1"
    assert two.pick(None, "ES256") is None


def test_a_key_without_an_id_is_no_answer_to_one():
    nameless = ECKey.generate_key("P-256").as_dict(private=False)
    nameless.pop("kid", None)
    keys = trust([nameless], ALLOWED, 2048)

    assert keys.pick("made-up", "ES256") is None
    assert keys.pick(None, "ES256") is not None


def test_an_id_does_not_lend_a_key_another_algorithm():
    assert trust([public(EC)], ALGORITHMS, 2048).pick("ec-1", "EdDSA") is None


def test_sets_are_equal_when_the_same_keys_are_believed():
    """In another order, with other words beside: nobody's token must be proven again."""
    first = trust([public(EC), public(ED)], ALLOWED, 2048)
    again = trust([public(ED, x5t="new"), public(EC), {"kty": "oct"}], ALLOWED, 2048)

    assert first == again
    assert first != trust([public(EC)], ALLOWED, 2048)
    assert Keys(()) == trust([], ALLOWED, 2048)


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(alg):
    """CVE-2016-10555; without a list of ours the library takes HS256 for a favourite."""
    for secret in (EC.as_pem(private=False), EC.as_der(private=False), b""):
        assert not signed_by(forge(header(alg=alg), {}, secret), EC)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "nOnE"])
def test_an_unsigned_token_is_signed_by_nobody(alg):
    token = f"{b64(json.dumps(header(alg=alg)))}.{b64('{}')}."

    assert not signed_by(token, EC)


@pytest.mark.parametrize("alg", ["RS512", "PS512", "ES512", "ES256K"])
def test_no_other_algorithm_verifies_though_the_signature_is_good(alg):
    curves = {"ES512": "P-521", "ES256K": "secp256k1"}
    key = ECKey.generate_key(curves[alg]) if alg in curves else rsa(2048)

    assert not signed_by(sign(header(alg=alg), {}, key), key)


def test_private_keys_are_never_shown():
    assert "ECKey" not in repr(trust([public(EC)], ALLOWED, 2048).trusted[0])
    assert isinstance(rsa(2048), RSAKey)
