"""One public key: which members are read, which algorithm it is for, and when it is too weak."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from secureml.kit.public_key import (
    MAX_RSA_BITS,
    KeyRefused,
    TrustedKey,
    check_strength,
    fitting,
    is_private,
    public_key,
)
from tests.outside_issuer import EC, EC_OTHER, ED, make_token, rsa


def public(key, **members):
    return key.as_dict(private=False) | members


def rule(jwk):
    with pytest.raises(KeyRefused) as refused:
        public_key(jwk)
    return str(refused.value)


@pytest.fixture(scope="module")
def rsa_key():
    return rsa(2048, kid="rsa-1")


def test_a_key_is_made_of_its_public_members_alone(rsa_key):
    for source, kind in ((EC, ("EC", "P-256")), (ED, ("OKP", "Ed25519")), (rsa_key, ("RSA", ""))):
        key, *found = public_key(source.as_dict(private=True))

        assert tuple(found) == kind
        assert not key.is_private
        assert key.thumbprint() == source.thumbprint()


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        (("EC", "P-256"), ("ES256",)),
        (("EC", "P-384"), ("ES384",)),
        (("OKP", "Ed25519"), ("EdDSA",)),
        (("RSA", ""), ("PS256", "RS256")),
    ],
)
def test_a_kind_of_key_fits_few_algorithms(kind, algorithms):
    assert fitting(*kind) == algorithms


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "AKP"},
        {"kty": ["EC"]},
        {"kty": None},
        {},
        public(ECKey.generate_key("P-521")),
        public(OKPKey.generate_key("X25519")),
    ],
)
def test_a_kind_that_is_not_used_here_is_refused(jwk):
    assert rule(jwk) == "algorithm"


def test_attack_a_symmetric_key_stands_for_a_public_one():
    assert rule(OctKey.generate_key(256).as_dict(private=True)) == "symmetric"


@pytest.mark.parametrize("value", [None, 1, ["x"], "", "!!", "AA", "A" * 3000])
@pytest.mark.parametrize("member", ["x", "y"])
def test_a_member_that_cannot_be_read_is_refused(member, value):
    assert rule(public(EC, **{member: value})) == "malformed"


def test_attack_a_point_that_is_not_on_the_curve():
    other = public(EC_OTHER)
    assert rule(public(EC, y=other["y"])) == "malformed"


@pytest.mark.parametrize(("least", "weak"), [(2048, False), (3072, True)])
def test_an_rsa_key_has_a_least_size(rsa_key, least, weak):
    key, *_ = public_key(public(rsa_key))
    with pytest.raises(KeyRefused, match="weak") if weak else nullcontext():
        check_strength(key, least)


def test_attack_an_rsa_key_that_is_too_large_to_verify_with(rsa_key):
    """Verifying one signature with it would be work enough to be an attack."""
    assert MAX_RSA_BITS == 8192
    assert rule(public(rsa_key, n="v" + "A" * 1400)) == "malformed"


def test_attack_an_rsa_key_with_a_tiny_exponent(rsa_key):
    key, *_ = public_key(public(rsa_key, e="Aw"))
    with pytest.raises(KeyRefused, match="weak"):
        check_strength(key, 2048)


def test_a_key_of_a_curve_has_the_strength_of_its_curve():
    check_strength(public_key(public(EC))[0], 100_000)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_a_private_member_is_noticed(member):
    assert is_private(public(EC, **{member: "AA"}))
    assert not is_private(public(EC))


def test_a_trusted_key_verifies_its_own_signatures_and_is_equal_however_it_was_made():
    one, two = (TrustedKey("k", "ES256", b"id", public_key(public(EC))[0]) for _ in range(2))

    assert one == two
    assert one.verifies(make_token(EC))
    assert not one.verifies(make_token(EC_OTHER))
    assert "key=" not in repr(one)


def test_attack_a_key_of_the_flawed_library_is_weak():
    """ROCA (CVE-2017-15361): primes of the form k * M + (65537 ** a mod M), as its chips made."""
    from secureml.kit import public_key as module

    small = [p for p in range(2, 702) if all(p % d for d in range(2, p))]
    product = 1
    for p in small:
        product *= p

    def flawed(seed):
        return next(
            candidate
            for k in range(seed, seed + 100_000)
            if pow(2, (candidate := k * product + pow(65537, 7 * seed, product)) - 1, candidate)
            == 1
        )

    assert module._is_roca(flawed(3) * flawed(5))
    sound = [RSAKey.generate_key(2048).public_key.public_numbers().n for _ in range(3)]
    assert not any(module._is_roca(n) for n in sound)
