"""A folder beside its bundle: as it was signed, or what differs."""

from __future__ import annotations

import os
import shutil

import pytest
from model_signing import hashing

from secureml.config_error import ConfigError
from secureml.models.provenance.folder import check
from tests.bundles import bundle_of, new_keys, shards

FILES = ("README.md", "model.joblib", "parts/scaler.joblib")


@pytest.fixture
def refusal(model, bundle, keys):
    """Return what is told of the folder as it is now."""

    def told_of(path=model):
        with pytest.raises(ConfigError) as told:
            check(path, bundle, keys.public)
        assert told.value.fix
        return told.value.message

    return told_of


def test_what_was_signed_is_found_wherever_it_lies(model, bundle, keys, tmp_path):
    shutil.move(model, tmp_path / "elsewhere")

    found = check(tmp_path / "elsewhere", bundle, keys.public)
    assert (found.digests, found.left_out) == (3, ())


@pytest.mark.parametrize("name", FILES)
def test_attack_a_changed_byte(model, refusal, name):
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)

    assert refusal() == f"{name}: changed after it was signed"


@pytest.mark.parametrize("name", ["parts/more", ".gitattributes", ".git/hooks", "\x1b[2J"])
def test_attack_a_file_more_also_one_that_the_library_passes_over(model, refusal, name):
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"x")

    if name.isprintable():
        assert refusal() == f"{name}: not in the bundle"
    else:
        assert refusal() == "\\x1b[2J: not in the bundle"


@pytest.mark.parametrize("name", FILES)
def test_attack_a_file_less(model, refusal, name):
    (model / name).unlink()

    assert refusal() == f"{name}: missing"


def test_attack_two_files_in_each_others_place(model, refusal):
    one, other = model / "README.md", model / "model.joblib"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)

    assert refusal() == "README.md, model.joblib: changed after it was signed"


def test_attack_a_bundle_of_another_model(model, keys, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.joblib").write_bytes(b"another estimator")
    bundle = bundle_of(tmp_path / "other", keys, tmp_path / "other.sig")

    with pytest.raises(ConfigError, match=r"model\.joblib: changed .*; README\.md.* not in "):
        check(model, bundle, keys.public)


@pytest.mark.parametrize("name", ["model.joblib", "link", "parts/link"])
def test_attack_a_link_even_to_the_very_file(model, refusal, tmp_path, name):
    shutil.copy(model / "model.joblib", tmp_path / "same")
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(tmp_path / "same")

    assert "is a link, which no bundle covers" in refusal()


def test_attack_a_link_in_place_of_the_folder_and_a_fifo_in_it(model, refusal, tmp_path):
    (tmp_path / "link").symlink_to(model)
    assert "is a link" in refusal(tmp_path / "link")

    os.mkfifo(model / "fifo")
    assert "cannot be read as it was signed" in refusal()


def test_of_many_files_that_differ_some_are_named(model, refusal):
    for number in range(15):
        (model / f"more{number:02}").write_bytes(b"x")

    assert refusal() == (
        ", ".join(f"more{number:02}" for number in range(10)) + " and 5 more: not in the bundle"
    )


def test_what_the_signer_left_out_is_told_where_it_is_there(model, keys, tmp_path):
    how = hashing.Config().set_ignored_paths(paths=["README.md", "absent"], ignore_git_paths=True)
    bundle = bundle_of(model, keys, model / "model.sig", how)
    with pytest.raises(ConfigError, match=r"model\.sig: not in the bundle"):
        check(model, bundle, keys.public)
    moved = bundle.rename(tmp_path / "moved.sig")
    (model / ".gitattributes").write_bytes(b"x")

    assert check(model, moved, keys.public).left_out == (".gitattributes", "README.md")


def test_a_bundle_in_the_folder_that_leaves_itself_out_is_no_gap(model, keys):
    how = hashing.Config().set_ignored_paths(paths=["model.sig"])
    bundle = bundle_of(model, keys, model / "model.sig", how)

    found = check(model, bundle, keys.public)
    assert (found.digests, found.left_out) == (3, ())


HOW = {
    "shards": shards,
    "blake2": lambda: hashing.Config().use_file_serialization(hashing_algorithm="blake2"),
    "blake3": lambda: hashing.Config().use_file_serialization(hashing_algorithm="blake3"),
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())
def test_other_digests_and_shards_are_verified_as_they_were_signed(model, keys, tmp_path, how):
    bundle = bundle_of(model, keys, tmp_path / "other.sig", how())
    check(model, bundle, keys.public)
    content = (model / "model.joblib").read_bytes()
    (model / "model.joblib").write_bytes(b"T" + content[1:])

    with pytest.raises(ConfigError, match=r"model\.joblib.*: changed after it was signed"):
        check(model, bundle, keys.public)


def test_one_file_is_verified_alone(model, keys, tmp_path):
    file = model / "model.joblib"
    bundle = bundle_of(file, keys, tmp_path / "file.sig")
    check(file, bundle, keys.public)
    file.write_bytes(b"x")

    with pytest.raises(ConfigError, match="the file: changed after it was signed"):
        check(file, bundle, keys.public)


def test_a_bundle_that_signs_no_file_is_not_passed(tmp_path):
    keys = new_keys(tmp_path, "ours")
    (tmp_path / "empty").mkdir()
    bundle = bundle_of(tmp_path / "empty", keys, tmp_path / "empty.sig")

    with pytest.raises(ConfigError, match="it signs no file"):
        check(tmp_path / "empty", bundle, keys.public)
