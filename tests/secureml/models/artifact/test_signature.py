from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import Artifact, ModelRefused

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = [signature.generate_key().public_key(), KEY.public_key()]
SEAL = signature.sign(b"model", b"card", KEY)


def refuse(*, model=b"model", card=b"card", seal=SEAL, keys=TRUSTED):
    with pytest.raises(ModelRefused) as refused:
        signature.verify_signature(Artifact("iris", "1", model, card, seal), keys)
    assert refused.value.check == "signature"
    return refused.value.message


def test_a_seal_of_a_trusted_key_is_believed():
    signature.verify_signature(Artifact("iris", "1", b"model", b"card", SEAL), TRUSTED)


def test_one_changed_byte_of_model_or_card_is_found():
    assert "changed" in refuse(model=b"modem")
    assert "changed" in refuse(card=b"cart")


def test_bytes_moved_between_model_and_card_are_found():
    assert "changed" in refuse(model=b"modelc", card=b"ard")


@pytest.mark.parametrize("at", range(0, len(SEAL), 7))
def test_a_changed_byte_of_the_signature_file_is_found(at):
    refuse(seal=SEAL[:at] + bytes([SEAL[at] ^ 1]) + SEAL[at + 1 :])


def test_the_same_seal_spelt_otherwise_is_a_changed_file():
    raw = json.loads(SEAL)

    refuse(seal=json.dumps(raw, indent=1).encode())
    refuse(seal=json.dumps(dict(reversed(raw.items()))).encode())
    refuse(seal=SEAL + b"\n")


def test_no_signature_is_refused():
    assert "not signed" in refuse(seal=None)


def test_a_stranger_s_seal_is_refused_by_its_key_id():
    stranger = signature.generate_key()

    assert signature.key_id(stranger.public_key()) in refuse(
        seal=signature.sign(b"model", b"card", stranger)
    )


def test_a_stranger_who_borrows_a_trusted_key_id_is_refused():
    forged = json.loads(signature.sign(b"model", b"card", signature.generate_key()))
    forged["key_id"] = signature.key_id(KEY.public_key())

    assert "changed" in refuse(seal=json.dumps(forged).encode())


def test_nobody_trusted_means_nothing_believed():
    refuse(keys=[])


def test_a_signature_made_for_another_purpose_does_not_pass():
    other = json.loads(SEAL)
    other["signature"] = base64.b64encode(KEY.sign(b"modelcard")).decode()

    assert "changed" in refuse(seal=json.dumps(other).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "none"},
        {"algorithm": "HS256"},
        {"key_id": 1},
        {"key_id": None},
        {"signature": ""},
        {"signature": None},
        {"signature": "????"},
        {"surplus": 1},
    ],
)
def test_a_signature_file_of_another_shape_is_refused(change):
    refuse(seal=json.dumps({**json.loads(SEAL), **change}).encode())


@pytest.mark.parametrize("seal", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_nonsense_in_place_of_a_signature_is_refused(seal):
    assert "cannot be read" in refuse(seal=seal)


def test_keys_survive_their_files(tmp_path):
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(signature.private_pem(KEY))
    public.write_bytes(signature.public_pem(KEY.public_key()))

    assert signature.read_private_key(private).private_bytes_raw() == bytes(range(32))
    assert signature.key_id(signature.read_public_key(public)) == signature.key_id(KEY.public_key())


def test_another_kind_of_key_or_a_locked_one_is_refused(tmp_path):
    other, path = ec.generate_private_key(ec.SECP256R1()), tmp_path / "key.pem"
    path.write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(ValueError, match="Ed25519"):
        signature.read_private_key(path)
    path.write_bytes(
        other.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with pytest.raises(ValueError, match="Ed25519"):
        signature.read_public_key(path)
    path.write_bytes(
        KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ValueError, match="encrypted"):
        signature.read_private_key(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError):
        signature.read_private_key(path)
