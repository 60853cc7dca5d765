"""Key material: what is made can be read back, and nothing else passes for it."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from secureml.state import keypair


@pytest.fixture(params=keypair.ALGORITHMS)
def key(request):
    """A fresh key of each algorithm."""
    return keypair.generate(request.param)


def test_the_id_is_the_rfc_7638_thumbprint(key):
    """Reckoned here by hand: the required members in order, without spaces, hashed."""
    jwk = keypair.jwk(keypair.public_pem(key.private), key.algorithm, key.kid)
    members = {name: jwk[name] for name in sorted({"crv", "kty", "x", "y"} & jwk.keys())}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()

    assert key.kid == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_a_public_jwk_says_what_it_is_for_and_holds_no_private_part(key):
    """Else publishing the key set would publish the key."""
    jwk = keypair.jwk(keypair.public_pem(key.private), key.algorithm, key.kid)

    assert (jwk["use"], jwk["alg"], jwk["kid"]) == ("sig", key.algorithm, key.kid)
    assert "d" not in jwk


def test_an_id_never_looks_like_an_option():
    """One thumbprint in 64 begins with a hyphen; such a key is thrown away."""
    assert not any(keypair.generate("EdDSA").kid.startswith("-") for _ in range(300))


def test_a_key_does_not_show_its_private_half(key):
    """In a log or a traceback there is the id."""
    assert "private" not in repr(key).lower()


def test_what_was_written_is_read_back(key):
    """PKCS 8 and back."""
    pem, public = keypair.private_pem(key.private), keypair.public_pem(key.private)

    assert b"BEGIN PRIVATE KEY" in pem
    assert keypair.public_pem(keypair.load_private(pem, public)) == public
    assert keypair.load_public(public) == key.private.public_key()


def test_another_key_in_the_file_is_refused(key):
    """A file swapped for one's own would sign for us."""
    other = keypair.generate(key.algorithm)

    with pytest.raises(ValueError, match="another key"):
        keypair.load_private(keypair.private_pem(other.private), keypair.public_pem(key.private))


@pytest.mark.parametrize("algorithm", ["HS256", "none", "RS256", "ES384", ""])
def test_no_other_algorithm_is_made(algorithm):
    """Two are enough."""
    with pytest.raises(ValueError, match="not one of"):
        keypair.generate(algorithm)
