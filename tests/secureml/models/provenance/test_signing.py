"""Bundles of our own: over the bytes that were proved, under the name of the version."""

from __future__ import annotations

import base64
import json
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import verifying

from secureml.config_error import ConfigError
from secureml.models.artifact.version_files import Artifact
from secureml.models.provenance.signing import sign
from tests.bundles import write_key

ARTIFACT = Artifact("churn", "3", b"the data form", b'{"the": "card"}', b'{"the": "seal"}')
FILES = {"model.data": b"the data form", "card.json": b'{"the": "card"}'}
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_the_library_verifies_what_was_signed_in_any_folder_of_the_same_files(tmp_path, curve):
    keys = write_key(tmp_path, "ours", ec.generate_private_key(curve))
    bundle = tmp_path / "churn.sig"
    bundle.write_bytes(sign(ARTIFACT, keys.private))
    (tmp_path / "3").mkdir()
    for name, content in {**FILES, "signature.json": b'{"the": "seal"}'}.items():
        (tmp_path / "3" / name).write_bytes(content)

    verifier = verifying.Config().use_elliptic_key_verifier(public_key=keys.public)
    verifier.verify(tmp_path / "3", bundle)
    (tmp_path / "3" / "card.json").write_bytes(b"{}")
    with pytest.raises(ValueError, match=r"Hash mismatch for .*card\.json"):
        verifier.verify(tmp_path / "3", bundle)


def test_the_statement_names_the_version_and_leaves_nothing_out(keys):
    bundle = json.loads(sign(ARTIFACT, keys.private))

    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    assert statement["subject"][0]["name"] == "churn-3"
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert "ignore_paths" not in statement["predicate"]["serialization"]


def test_a_private_key_of_the_wrong_kind_and_a_missing_library_are_told(keys, monkeypatch):
    with pytest.raises(ConfigError, match="no private key in PEM"):
        sign(ARTIFACT, keys.public)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(ConfigError, match="fix: script/extras provenance"):
        sign(ARTIFACT, keys.private)
