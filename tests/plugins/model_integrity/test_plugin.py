"""Model integrity: bytes that no trusted key has sealed are refused before they are read."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.model_integrity.plugin import ModelIntegrity
from secureml import Artifact, ConfigError, ModelRefused
from secureml.models.artifact import signature
from secureml.models.serving.registry import Registry
from secureml.testing import Harness

MODEL, CARD = b"bytes that are no pickle at all", b"bytes that are no card at all"
# A key type nobody has heard of: the object identifier 1.2.3.4.
UNHEARD_OF = bytes.fromhex("3010300506032a0304030700616263646566")


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def pem(key):
    """Return the public half as PEM."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def trusting(harness, *keys):
    """Return the plugin with these keys in its folder."""
    names = [f"model_integrity/{number}.pem" for number, _ in enumerate(keys)]
    (harness.folder / "model_integrity").mkdir(exist_ok=True)
    for name, key in zip(names, keys, strict=True):
        (harness.folder / name).write_bytes(pem(key))
    return harness.build(ModelIntegrity, {"keys": names})


def sealed(key, model=MODEL, card=CARD):
    """Return an artifact sealed with this key."""
    return Artifact("iris", "1", model, card, signature.sign(model, card, key))


def refusal(plugin, artifact):
    """Return the message of the refusal that must come."""
    with pytest.raises(ModelRefused) as refused:
        plugin.verify_artifact(artifact)
    assert refused.value.check == "signature"
    assert refused.value.fix
    return refused.value.message


@pytest.fixture(scope="module")
def ours():
    """A key this server believes."""
    return signature.generate_key()


@pytest.fixture(scope="module")
def theirs():
    """A key it does not."""
    return signature.generate_key()


def test_what_our_key_sealed_is_vouched_for(harness, ours):
    """Without a look at what the bytes mean."""
    assert trusting(harness, ours).verify_artifact(sealed(ours)) is None


def test_each_of_several_keys_is_believed(harness, ours, theirs):
    """So that a new key can be brought in before the old one goes."""
    plugin = trusting(harness, ours, theirs)

    plugin.verify_artifact(sealed(ours))
    plugin.verify_artifact(sealed(theirs))


def test_attack_a_model_sealed_with_another_key_is_refused(harness, ours, theirs):
    """A good seal by nobody we know."""
    message = refusal(trusting(harness, ours), sealed(theirs))

    unknown = signature.key_id(theirs.public_key())
    assert message == f"it is signed with a key not trusted here ({unknown})"


def test_attack_a_strangers_seal_under_our_keys_name_is_refused(harness, ours, theirs):
    """The name in the file is only where to look."""
    forged = json.loads(signature.sign(MODEL, CARD, theirs))
    forged["key_id"] = signature.key_id(ours.public_key())
    artifact = Artifact("iris", "1", MODEL, CARD, json.dumps(forged).encode())

    assert "changed" in refusal(trusting(harness, ours), artifact)


@pytest.mark.parametrize("part", ["model_bytes", "card_bytes"])
@pytest.mark.parametrize("position", [0, 7, -1])
def test_attack_a_changed_byte_in_model_or_card_is_refused(harness, ours, part, position):
    """Wherever it stands."""
    artifact = sealed(ours)
    changed = bytearray(getattr(artifact, part))
    changed[position] ^= 1

    message = refusal(trusting(harness, ours), replace(artifact, **{part: bytes(changed)}))
    what = {"model_bytes": "model file", "card_bytes": "card"}[part]
    assert message == f"the {what} changed after it was signed"


def test_attack_a_card_cannot_be_exchanged_for_anothers(harness, ours):
    """Each was sealed by us, but not together."""
    one, two = sealed(ours, b"model one", b"card one"), sealed(ours, b"model two", b"card two")
    plugin = trusting(harness, ours)

    for mixed in (
        replace(one, card_bytes=two.card_bytes),
        replace(one, model_bytes=two.model_bytes),
        replace(one, signature_bytes=two.signature_bytes),
        replace(one, model_bytes=one.model_bytes + one.card_bytes, card_bytes=b""),
    ):
        assert "changed" in refusal(plugin, mixed)


def test_a_model_nobody_signed_is_refused(harness, ours):
    """With its own message: the seal is missing, not wrong."""
    artifact = replace(sealed(ours), signature_bytes=None)

    assert refusal(trusting(harness, ours), artifact) == "the model is not signed"


@settings(max_examples=60)
@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_attack_any_changed_byte_in_the_signature_file_is_refused(
    tmp_path_factory, ours, position, flip
):
    """It is another seal, another key, or no signature file at all; never a traceback."""
    harness = Harness(tmp_path_factory.mktemp("keys"))
    artifact = sealed(ours)
    changed = bytearray(artifact.signature_bytes)
    changed[position % len(changed)] ^= flip

    refusal(trusting(harness, ours), replace(artifact, signature_bytes=bytes(changed)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 4000,
        json.dumps({"algorithm": "none", "key_id": "", "signature": ""}).encode(),
    ],
)
def test_a_signature_file_that_is_none_is_refused(harness, ours, content):
    """Whatever somebody put in its place."""
    artifact = replace(sealed(ours), signature_bytes=content)

    assert refusal(trusting(harness, ours), artifact) == "the signature file cannot be read"


def test_the_pipeline_asks_it_before_the_pickle_is_opened(harness, ours, theirs):
    """What lies on disk here is no model and no card; the seal is what is spoken of."""
    folder = harness.folder / "models" / "iris" / "1"
    folder.mkdir(parents=True)
    artifact = sealed(theirs)
    (folder / "model.data").write_bytes(artifact.model_bytes)
    (folder / "card.json").write_bytes(artifact.card_bytes)
    (folder / "signature.json").write_bytes(artifact.signature_bytes)
    (folder.parent / "current").write_text("1\n")
    registry = Registry(harness.folder / "models", [trusting(harness, ours).verify_artifact])

    with pytest.raises(ModelRefused, match=r"^model iris version 1: signature: ") as refused:
        registry.load_all()
    assert refused.value.check == "signature"
    assert registry.names() == []


def stopped(harness, table=None):
    """Return the one line with which the start stops."""
    with pytest.raises(ConfigError) as error:
        harness.build(ModelIntegrity, table)
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith("[plugins.model_integrity] keys")
    return line


def test_a_missing_key_file_stops_the_start_with_the_fix(harness):
    """The default is the file that `secureml init` makes."""
    line = stopped(harness)

    assert "signing.pem cannot be read (FileNotFoundError)" in line
    assert "fix: copy the public key" in line


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(rsa.generate_private_key(65537, 2048)),
        signature.private_pem(ed25519.Ed25519PrivateKey.generate()),
        b"-----BEGIN PUBLIC KEY-----\n"
        + base64.encodebytes(UNHEARD_OF)
        + b"-----END PUBLIC KEY-----\n",
    ],
    ids=["empty", "text", "p256", "rsa", "private", "unheard-of"],
)
def test_a_file_that_holds_no_ed25519_public_key_stops_the_start(harness, content):
    """A private key least of all: it has no business on a machine that serves."""
    (harness.folder / "model_integrity").mkdir()
    (harness.folder / "model_integrity" / "signing.pem").write_bytes(content)

    assert "cannot be read" in stopped(harness)


@pytest.mark.parametrize("keys", [[], ["/etc/ssl/key.pem"], ["../key.pem"], [""], "key.pem"])
def test_a_list_that_trusts_no_one_or_looks_elsewhere_stops_the_start(harness, keys):
    """No keys would mean no check, so it is never read as that."""
    stopped(harness, {"keys": keys})
