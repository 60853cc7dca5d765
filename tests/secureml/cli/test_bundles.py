"""``secureml models bundle``, ``check-bundle`` and ``seal --bundle``, with real bundles."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression

from plugins.audit_log.plugin import AuditLog
from secureml.cli import model_records
from secureml.models.provenance import signed_files as signed_files_module
from secureml.models.sealing import packaging
from tests.bundles import bundle_of, new_keys, shards

PROGRAM = Path(sys.executable).with_name("model_signing")
FILES = ("model.data", "card.json", "signature.json")
ROWS, ANSWERS = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 3.0], [3.0, 2.0]]), [0, 0, 1, 1]


@pytest.fixture
def keys(tmp_path):
    return new_keys(tmp_path, "ours")


@pytest.fixture
def bundle(ask_models, keys, tmp_path):
    """A bundle over version 1 of `number`."""
    said = ask_models("bundle", "number@1", tmp_path / "number.sig", "--key", keys.private)
    assert said.code == 0, said.err
    return tmp_path / "number.sig"


@pytest.fixture
def check(type_command, keys):
    def check_it(path, bundle, *words):
        given = ("--bundle", bundle, "--key", keys.public)
        return type_command("models", "check-bundle", path, *given, *words)

    return check_it


def verify_by_the_library(folder, bundle, public):
    """Run exactly what the documentation tells others to run."""
    return subprocess.run(
        [PROGRAM, "verify", "key", folder, "--signature", bundle, "--public_key", public],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


# -- a bundle over a version -----------------------------------------------------------------------


def test_anyone_can_check_a_version_with_the_command_of_the_library(
    ask_models, versions, tmp_path, keys
):
    """By a key that openssl has made, as the message of a wrong key says."""
    private, public = tmp_path / "made.key", tmp_path / "made.pem"
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private]
    subprocess.run(["openssl", "genpkey", *curve], check=True, capture_output=True, timeout=60)
    words = ["openssl", "pkey", "-in", private, "-pubout", "-out", public]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    bundle = tmp_path / "number.sig"
    said = ask_models("bundle", "number@2", bundle, "--key", private)
    assert said.code == 0, said.err
    shutil.copytree(versions / "models" / "number" / "2", tmp_path / "as it was sent")

    verified = verify_by_the_library(tmp_path / "as it was sent", bundle, public)
    assert (verified.returncode, verified.stderr) == (0, "")
    other = verify_by_the_library(versions / "models" / "number" / "1", bundle, public)
    assert other.returncode != 0
    assert "Hash mismatch" in other.stderr
    stranger = new_keys(tmp_path, "stranger").public
    refused = verify_by_the_library(tmp_path / "as it was sent", bundle, stranger)
    assert refused.returncode != 0


def test_without_a_version_the_one_in_use_is_signed_and_everyone_may_read_it(
    ask_models, versions, keys, tmp_path, check
):
    said = ask_models("bundle", "number", tmp_path / "a.sig", "--key", keys.private, "--json")

    assert json.loads(said.out) == {
        "name": "number", "version": "1", "bundle": str(tmp_path / "a.sig")
    }  # fmt: skip
    assert (tmp_path / "a.sig").stat().st_mode & 0o777 == 0o644
    assert check(versions / "models" / "number" / "1", tmp_path / "a.sig").code == 0


def test_attack_a_version_that_its_own_signature_does_not_cover_gets_no_bundle(
    ask_models, versions, keys, tmp_path
):
    card = versions / "models" / "number" / "1" / "card.json"
    card.chmod(0o600)
    card.write_bytes(card.read_bytes().replace(b"number", b"numbeR"))

    said = ask_models("bundle", "number@1", tmp_path / "a.sig", "--key", keys.private)
    assert said.code == 1
    assert "signature: the card changed after it was signed" in said.err
    assert not (tmp_path / "a.sig").exists()


def test_a_machine_that_only_seals_verifies_by_its_sealing_key(
    ask_models, versions, keys, tmp_path
):
    (versions / "secureml.toml").unlink()
    words = ("--key", keys.private)
    assert ask_models("bundle", "number@1", tmp_path / "a.sig", *words).code == 0

    other = new_keys(tmp_path, "stranger")
    shutil.copy(other.private, versions / "keys" / "model-signing.key")
    said = ask_models("bundle", "number@1", tmp_path / "b.sig", *words)
    assert said.code == 2
    assert "nothing here tells which versions are genuine" in said.err
    assert not (tmp_path / "b.sig").exists()


def test_attack_a_bundle_is_written_over_no_file_and_through_no_link(
    ask_models, keys, tmp_path, versions
):
    there, link, dangling = tmp_path / "there", tmp_path / "link", tmp_path / "dangling"
    there.write_bytes(b"mine")
    link.symlink_to(there)
    dangling.symlink_to(tmp_path / "absent")

    for output in (there, link, dangling):
        said = ask_models("bundle", "number@1", output, "--key", keys.private)
        assert said.code == 2
        assert f"{output}: the file exists already; fix: name another" in said.err
    assert there.read_bytes() == b"mine"
    assert not (tmp_path / "absent").exists()
    within = versions / "models" / "number" / "1" / "model.sig"
    said = ask_models("bundle", "number@1", within, "--key", keys.private)
    assert said.code == 2
    assert "among the models" in said.err


def test_a_key_that_others_can_read_or_that_seals_models_signs_nothing(
    ask_models, keys, tmp_path, versions
):
    sealing = versions / "keys" / "model-signing.key"
    said = ask_models("bundle", "number@1", tmp_path / "a.sig", "--key", sealing)
    assert said.code == 2
    assert "Ed25519 key that seals models; fix: openssl genpkey -algorithm EC" in said.err

    keys.private.chmod(0o644)
    said = ask_models("bundle", "number@1", tmp_path / "a.sig", "--key", keys.private)
    assert said.code == 2
    assert f"fix: chmod 600 {keys.private}" in said.err
    assert not (tmp_path / "a.sig").exists()


# -- a folder and a bundle -------------------------------------------------------------------------


def test_a_folder_that_is_as_it_was_signed_ends_with_0(check, versions, bundle, keys):
    said = check(versions / "models" / "number" / "1", bundle, "--json")

    assert said.code == 0
    assert json.loads(said.out) == {
        "digests": 3,
        "key": hashlib.sha256(keys.public.read_bytes()).hexdigest(),
        "left_out": [],
    }


@pytest.mark.parametrize("name", FILES)
def test_attack_a_changed_byte_ends_with_2_and_its_file(check, versions, bundle, tmp_path, name):
    folder = tmp_path / "sent"
    shutil.copytree(versions / "models" / "number" / "1", folder)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).chmod(0o600)
    (folder / name).write_bytes(content)

    said = check(folder, bundle)
    assert said.code == 2
    assert f"sent: {name}: changed after it was signed; fix: get the model" in said.err


def test_a_bundle_that_is_none_ends_with_2_and_no_traceback(check, versions, tmp_path):
    (tmp_path / "garbage.sig").write_bytes(b'{"verificationMaterial": 7}')

    said = check(versions, tmp_path / "garbage.sig", "--json")
    assert said.code == 2
    assert "garbage.sig: it cannot be read as a Sigstore bundle" in json.loads(said.err)["error"]


# -- sealing a file that a bundle signs ------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    """A model file in a folder, as it comes from somebody else."""
    folder = tmp_path / "sent"
    folder.mkdir()
    joblib.dump(LogisticRegression().fit(ROWS, ANSWERS), folder / "model.joblib")
    (folder / "README.md").write_bytes(b"how it was trained")
    return folder / "model.joblib"


@pytest.fixture
def signed(file, keys, tmp_path):
    return bundle_of(file.parent, keys, tmp_path / "sent.sig")


@pytest.fixture
def seal(ask_models, file, keys):
    """Seal the file, with or without a bundle of it."""

    def seal_it(bundle=None, *words, key=keys.public):
        proof = () if bundle is None else ("--bundle", bundle, "--bundle-key", key)
        return ask_models("seal", file, "--name", "sent", "--no-assess", *proof, *words)

    return seal_it


@pytest.fixture
def no_reading(monkeypatch):
    """Fail where the file is given to the child that reads it."""
    monkeypatch.setattr(
        "secureml.cli.sealing._confined", lambda _: lambda *_: pytest.fail("it was read")
    )


def test_a_file_that_is_signed_is_sealed_and_the_record_names_the_key(
    seal, signed, versions, keys, monkeypatch
):
    emitted = []
    monkeypatch.setattr(AuditLog, "on_event", lambda _, event: emitted.append(event))

    said = seal(signed)
    assert said.code == 0, said.err
    assert "note: the model file is one that sent.sig signs" in said.out
    [sealed] = [event for event in emitted if event.name == "model_sealed"]
    assert sealed.facts["bundle_key"] == hashlib.sha256(keys.public.read_bytes()).hexdigest()
    card = json.loads((versions / "models" / "sent" / "1" / "card.json").read_bytes())
    assert card["source_digest"] in signed_files_module.signed_files(signed, keys.public).digests


def test_a_file_without_a_bundle_is_sealed_as_ever_and_no_key_is_recorded(seal, monkeypatch):
    emitted = []
    monkeypatch.setattr(AuditLog, "on_event", lambda _, event: emitted.append(event))

    assert seal().code == 0
    assert ["bundle_key" in event.facts for event in emitted if event.name == "model_sealed"] == [
        False
    ]


def test_of_a_folder_of_mlflow_the_model_file_in_it_must_be_signed(
    ask_models, file, keys, tmp_path
):
    pytest.importorskip("yaml", reason="script/extras mlflow")
    (file.parent / "MLmodel").write_text(f"flavors:\n  sklearn:\n    pickled_model: {file.name}\n")
    bundle = bundle_of(file.parent, keys, tmp_path / "folder.sig")
    proof = ("--name", "sent", "--no-assess", "--bundle", bundle, "--bundle-key", keys.public)
    assert ask_models("seal", file.parent, *proof).code == 0

    file.write_bytes(file.read_bytes() + b"x")
    said = ask_models("seal", file.parent, *proof)
    assert said.code == 1
    assert "none of the 3 that folder.sig signs" in said.err


@pytest.mark.usefixtures("no_reading")
def test_attack_a_changed_file_is_not_read(seal, signed, file, versions):
    joblib.dump(LogisticRegression(C=7).fit(ROWS, ANSWERS), file)

    said = seal(signed)
    assert said.code == 1
    assert "provenance: the model file is none of the 2 that sent.sig signs" in said.err
    assert not (versions / "models" / "sent").exists()


@pytest.mark.usefixtures("no_reading")
def test_attack_another_key_shards_and_a_bundle_of_another_model_are_refused_unread(
    seal, signed, keys, file, tmp_path, versions
):
    stranger = new_keys(tmp_path, "stranger")
    said = seal(signed, key=stranger.public)
    assert said.code == 2
    assert "sent.sig: it cannot be verified" in said.err

    said = seal(bundle_of(file.parent, keys, tmp_path / "shards.sig", shards()))
    assert said.code == 2
    assert "whole files by sha256; fix: have it signed again" in said.err

    said = seal(bundle_of(versions / "models" / "number", keys, tmp_path / "other.sig"))
    assert said.code == 1
    assert "other.sig signs" in said.err
    assert not (versions / "models" / "sent").exists()


@pytest.mark.parametrize("how", ["exchanged", "written over"])
def test_attack_a_file_that_is_changed_between_check_and_reading_is_not_what_is_sealed(
    seal, signed, file, monkeypatch, versions, how
):
    """Whatever the name leads to once the digest is known, the child reads what was signed."""
    other = file.parent / "other"
    joblib.dump(DummyRegressor(strategy="constant", constant=7.0).fit(ROWS, ANSWERS), other)
    content, digest = other.read_bytes(), packaging._digest

    def change_after(opened):
        found = digest(opened)
        if how == "exchanged":
            other.replace(file)
        else:
            file.write_bytes(content)
        return found

    monkeypatch.setattr(packaging, "_digest", change_after)
    said = seal(signed)

    assert said.code == 0, said.err
    card = json.loads((versions / "models" / "sent" / "1" / "card.json").read_bytes())
    assert "LogisticRegression" in str(card["globals"])
    assert "DummyRegressor" not in str(card["globals"])


@pytest.mark.parametrize("how", ["exchanged", "written over"])
@pytest.mark.usefixtures("no_reading")
def test_attack_a_file_that_is_changed_after_the_signature_was_verified_is_refused(
    seal, signed, file, monkeypatch, how
):
    other, read = file.parent / "other", signed_files_module.signed_files
    joblib.dump(LogisticRegression(C=7).fit(ROWS, ANSWERS), other)

    def change_after(*given):
        found = read(*given)
        if how == "exchanged":
            other.replace(file)
        else:
            file.write_bytes(other.read_bytes())
        return found

    monkeypatch.setattr(signed_files_module, "signed_files", change_after)
    said = seal(signed)
    assert said.code == 1
    assert "provenance: the model file is none of" in said.err


def test_a_version_that_is_there_already_is_not_passed_without_its_bundle(
    seal, signed, file, keys, tmp_path
):
    assert seal(signed).code == 0
    assert "already is this file" in seal(signed, "--unless-same").out
    other = bundle_of(file.parent / "README.md", keys, tmp_path / "other.sig")

    said = seal(other, "--unless-same")
    assert said.code == 1
    assert "provenance: " in said.err


def test_one_of_the_two_options_without_the_other_is_a_usage_error(ask_models, file, signed, keys):
    for words in (("--bundle", signed), ("--bundle-key", keys.public)):
        said = ask_models("seal", file, "--name", "sent", *words)
        assert said.code == 2
        assert "--bundle and --bundle-key are given together" in said.err


def test_a_machine_without_settings_seals_what_is_signed_too(seal, signed, versions):
    (versions / "secureml.toml").unlink()

    assert not model_records.has_settings(type("Context", (), {"instance": versions}))
    assert seal(signed).code == 0
    assert (versions / "models" / "sent" / "1" / "model.data").exists()
