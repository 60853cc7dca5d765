"""Keys of bundles: three elliptic curves, in PEM, and what is told of any other."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from secureml.config_error import ConfigError
from secureml.models.provenance.keys import check_private_key, public_pem
from tests.bundles import write_key

TAKEN = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
REFUSED = {
    "the kind that seals models": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "another curve": lambda: ec.generate_private_key(ec.SECP256K1()),
}


@pytest.mark.parametrize("curve", TAKEN, ids=lambda curve: curve.name)
def test_three_curves_are_taken(tmp_path, curve):
    keys = write_key(tmp_path, "taken", ec.generate_private_key(curve))

    check_private_key(keys.private)
    assert public_pem(keys.public) == keys.public.read_bytes()


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_a_key_of_another_kind_is_refused_with_the_line_that_makes_one(tmp_path, make):
    keys = write_key(tmp_path, "other", make())

    with pytest.raises(ConfigError, match=r"other\.key: .*Ed25519 .*fix: openssl genpkey") as told:
        check_private_key(keys.private)
    assert "P-256, P-384 or P-521" in told.value.message
    with pytest.raises(ConfigError, match=r"other\.pem: .*P-256, P-384 or P-521.*openssl pkey"):
        public_pem(keys.public)


def test_a_key_with_a_password_is_refused_with_the_way_out(tmp_path):
    file = tmp_path / "locked.key"
    file.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match=r"locked\.key: the key is encrypted; fix: .*openssl"):
        check_private_key(file)


def test_halves_in_each_others_place_and_garbage_are_told(tmp_path, keys):
    (tmp_path / "garbage").write_bytes(b"\x00-----BEGIN")
    for path in (keys.public, tmp_path / "garbage"):
        with pytest.raises(ConfigError, match="no private key in PEM"):
            check_private_key(path)
    for path in (keys.private, tmp_path / "garbage"):
        with pytest.raises(ConfigError, match="no public key in PEM"):
            public_pem(path)


def test_a_key_file_in_another_spelling_is_the_same_key(tmp_path, keys):
    """Bundles name a key by the digest of its PEM, so there must be one PEM of each."""
    spelled = tmp_path / "spelled.pem"
    spelled.write_bytes(b"a comment\r\n" + keys.public.read_bytes().replace(b"\n", b"\r\n"))

    digests = {hashlib.sha256(public_pem(each)).digest() for each in (keys.public, spelled)}
    assert len(digests) == 1
