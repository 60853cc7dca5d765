"""A model file that a bundle signs: these very bytes, or none."""

from __future__ import annotations

import hashlib
import os

import pytest
from model_signing import hashing

from secureml.config_error import ConfigError
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.provenance import signed_files as module
from secureml.models.provenance.signed_files import signed_files
from tests.bundles import bundle_of, shards


@pytest.fixture
def signed(bundle, keys):
    return signed_files(bundle, keys.public)


@pytest.fixture
def opened(model):
    return os.open(model / "model.joblib", os.O_RDONLY)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_digests_are_those_of_the_files_and_no_others(model, signed, keys):
    assert signed.digests == {sha256(each) for each in model.rglob("*") if each.is_file()}
    assert signed.key == sha256(keys.public)


def test_a_file_that_is_signed_alone_is_signed(model, keys, tmp_path):
    bundle = bundle_of(model / "model.joblib", keys, tmp_path / "alone.sig")

    assert signed_files(bundle, keys.public).digests == {sha256(model / "model.joblib")}


def test_the_copy_is_what_is_signed_and_can_be_read_from_its_beginning(model, signed, opened):
    copy = signed.copied(opened)

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(copy, b"x")
    with os.fdopen(copy, "rb") as file:
        assert file.read() == (model / "model.joblib").read_bytes()


def test_attack_a_file_that_is_written_over_after_it_was_checked_changes_no_copy(
    model, signed, opened
):
    before = (model / "model.joblib").read_bytes()
    copy = signed.copied(opened)
    (model / "model.joblib").write_bytes(b"other bytes in the same file")

    with os.fdopen(copy, "rb") as file:
        assert file.read() == before


def test_attack_one_changed_byte_is_refused_with_its_digest(model, signed):
    changed = model / "model.joblib"
    changed.write_bytes(changed.read_bytes()[:-1] + b"S")
    opened = os.open(changed, os.O_RDONLY)

    with pytest.raises(ModelRefused) as told:
        signed.copied(opened)
    assert told.value.check == "provenance"
    assert sha256(changed) in told.value.message
    assert "none of the 3 that model.sig signs" in told.value.message


def test_attack_a_file_that_grows_while_it_is_copied_has_an_end(signed, opened, monkeypatch):
    monkeypatch.setattr(module, "MODEL_LIMIT", 10)

    with pytest.raises(ModelRefused, match="it grew beyond 10 bytes"):
        signed.copied(opened)


HOW = {
    "shards": shards,
    "blake2": lambda: hashing.Config().use_file_serialization(hashing_algorithm="blake2"),
    "blake3": lambda: hashing.Config().use_file_serialization(hashing_algorithm="blake3"),
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())
def test_shards_and_other_digests_are_refused_with_the_way_to_sign_again(
    model, keys, tmp_path, how
):
    bundle = bundle_of(model, keys, tmp_path / "other.sig", how())

    with pytest.raises(
        ConfigError, match=r"other\.sig: .*whole files by sha256; fix: have it signed again: model_"
    ):
        signed_files(bundle, keys.public)


def test_a_bundle_that_signs_no_file_proves_none(keys, tmp_path):
    (tmp_path / "empty").mkdir()
    bundle = bundle_of(tmp_path / "empty", keys, tmp_path / "empty.sig")

    with pytest.raises(ConfigError, match="it signs no file"):
        signed_files(bundle, keys.public)
