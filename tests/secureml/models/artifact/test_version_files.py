from __future__ import annotations

import hashlib
import os

import pytest

from secureml.models.artifact import version_files
from secureml.models.artifact.version_files import ModelRefused, open_model_file, read_artifact


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "model.data").write_bytes(b"model")
    (folder / "card.json").write_bytes(b"card")
    (folder / "signature.json").write_bytes(b"signature")
    return folder


def read(folder):
    return read_artifact(folder, "iris", "7")


def test_all_three_files_are_in_memory_and_the_disk_no_longer_matters(version):
    found = read(version)
    (version / "model.data").write_bytes(b"exchanged")

    assert (found.model_bytes, found.card_bytes, found.signature_bytes) == (
        b"model",
        b"card",
        b"signature",
    )
    assert found.digest == hashlib.sha256(b"model").hexdigest()


def test_each_file_is_opened_exactly_once(version, monkeypatch):
    opened, real = [], os.open
    monkeypatch.setattr(
        version_files.os,
        "open",
        lambda path, *a, **k: opened.append(str(path)) or real(path, *a, **k),
    )
    read(version)

    assert sorted(opened) == sorted([str(version), "model.data", "card.json", "signature.json"])


def test_a_missing_signature_is_none_and_left_to_the_verifiers(version):
    (version / "signature.json").unlink()

    assert read(version).signature_bytes is None


@pytest.mark.parametrize("name", ["model.data", "card.json"])
def test_a_missing_file_is_refused_by_its_name(version, name):
    (version / name).unlink()
    with pytest.raises(ModelRefused, match=name) as refused:
        read(version)

    assert refused.value.check == "missing"


@pytest.mark.parametrize("name", ["model.data", "card.json", "signature.json"])
def test_a_link_in_place_of_a_file_is_not_followed(version, tmp_path, name):
    (tmp_path / "elsewhere").write_bytes(b"other")
    (version / name).unlink()
    (version / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelRefused, match=name):
        read(version)


def test_a_link_in_place_of_the_folder_is_not_followed(version, tmp_path):
    (tmp_path / "8").symlink_to(version)
    with pytest.raises(ModelRefused):
        read(tmp_path / "8")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_fifo_or_a_folder_in_place_of_the_model_does_not_hang(version, make):
    (version / "model.data").unlink()
    make(version / "model.data")
    with pytest.raises(ModelRefused, match=r"model\.data"):
        read(version)


@pytest.mark.parametrize("kind", ["MODEL", "CARD", "SIGNATURE"])
def test_a_file_beyond_its_bound_is_refused(version, monkeypatch, kind):
    monkeypatch.setattr(version_files, f"{kind}_LIMIT", 3)
    with pytest.raises(ModelRefused, match="larger") as refused:
        read(version)

    assert refused.value.check == "format"


def test_an_unsealed_file_is_opened_for_reading_alone(version):
    opened = open_model_file(version / "model.data")
    try:
        assert os.read(opened, 100) == b"model"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(opened, b"x")
    finally:
        os.close(opened)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_an_unsealed_file_that_is_none_is_refused(tmp_path, make):
    make(tmp_path / "made")
    with pytest.raises(ModelRefused, match="not a regular file"):
        open_model_file(tmp_path / "made")


def test_an_unsealed_file_beyond_the_bound_is_refused(version, monkeypatch):
    monkeypatch.setattr(version_files, "MODEL_LIMIT", 3)
    with pytest.raises(ModelRefused, match="larger"):
        open_model_file(version / "model.data")


def test_an_unsealed_file_that_is_absent_is_refused(tmp_path):
    with pytest.raises(ModelRefused, match="absent"):
        open_model_file(tmp_path / "absent")


def test_a_refusal_is_one_line_whatever_the_file_put_into_it():
    text = str(ModelRefused("globals", "asks for os\nERROR forged\x1b[2J", "do\nnot", model="a"))

    assert text.isprintable()
    assert len(text.splitlines()) == 1
    # What stood there can be told, and is not mistaken for a question mark.
    assert text == r"model a: globals: asks for os\nERROR forged\x1b[2J; fix: do\nnot"


def test_attack_no_letter_of_any_kind_breaks_the_line():
    for letter in ("\r", "\x85", "\u2028", "\u202e", "\ud800", "\x00", "\U000e0001"):
        text = str(ModelRefused("globals", f"a{letter}b", "c"))
        assert text.isprintable(), repr(letter)
        assert text.isascii(), repr(letter)


def test_a_refusal_has_a_bounded_length():
    long = ModelRefused("globals", "a" * 10_000, "b" * 10_000)

    assert len(str(long)) < 3000


def test_a_long_message_does_not_take_the_fix_with_it():
    assert str(ModelRefused("globals", "a" * 10_000, "train again")).endswith("; fix: train again")


def test_a_refusal_names_model_check_message_and_fix():
    refused = ModelRefused("digest", "it changed", "restore it").of("iris", "7")

    assert str(refused) == "model iris version 7: digest: it changed; fix: restore it"
