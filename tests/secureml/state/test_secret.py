"""Secrets: named by reference, and never shown by accident."""

from __future__ import annotations

import pickle

import pytest

from secureml import ConfigError
from secureml.state.secret import Secret, SecretSource, is_reference

CANARY = b"correct-horse-battery"


def written(folder, content=CANARY, mode=0o600):
    """Return a reference to a secret file."""
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return SecretSource("file:secret")


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda secret: f"{[secret]!r}"])
def test_a_secret_does_not_print(show):
    """Not even inside something else."""
    assert CANARY.decode() not in show(Secret(CANARY))


def test_a_secret_is_not_pickled_or_hashed():
    """Either would keep it somewhere."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))
    with pytest.raises(TypeError):
        hash(Secret(CANARY))


def test_a_secret_is_compared_in_full():
    """By value, and with secrets only."""
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(CANARY + b"x")
    assert Secret(CANARY) != CANARY
    assert Secret(CANARY).matches(CANARY)


def test_a_file_gives_its_content_without_the_line_end(tmp_path):
    """Editors add one."""
    assert written(tmp_path, CANARY + b"\n").read(tmp_path).reveal() == CANARY


def test_the_environment_gives_a_secret(tmp_path, monkeypatch):
    """By name."""
    monkeypatch.setenv("TEST_SECRET", CANARY.decode())

    assert SecretSource("env:TEST_SECRET").read(tmp_path).reveal() == CANARY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_no_secret(tmp_path, mode):
    """The message holds the command that mends it."""
    with pytest.raises(ConfigError, match="chmod 600"):
        written(tmp_path, mode=mode).read(tmp_path)


def test_a_file_of_another_user_is_refused(tmp_path, monkeypatch):
    """They could change it."""
    source = written(tmp_path)
    monkeypatch.setattr("secureml.state.local_secrets.os.geteuid", lambda: 4711)
    if (tmp_path / "secret").stat().st_uid == 0:
        assert source.read(tmp_path).reveal() == CANARY  # root's own files are believed
        return
    with pytest.raises(ConfigError, match="belongs to someone else"):
        source.read(tmp_path)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("file:absent", "cannot be read"),
        ("file:folder", "regular file|cannot be read"),
        ("file:empty", "empty"),
        ("env:TEST_NOT_SET_ANYWHERE", "is not set"),
        ("hunter2", "never written"),
        ("https://example.org", "never written"),
        ("file:", "never written"),
        ("", "never written"),
    ],
)
def test_what_gives_no_secret_is_refused_with_the_fix(tmp_path, reference, says):
    """And the message does not repeat what may be a secret written out."""
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "empty").touch(mode=0o600)

    with pytest.raises(ConfigError, match=says) as refused:
        SecretSource(reference).read(tmp_path)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("env:A", True), ("file:a/b", True), ("env:", False), ("a", False), ("x:y", False)],
)
def test_a_reference_is_known_by_its_scheme(text, is_one):
    """Anything else is a literal."""
    assert is_reference(text) is is_one
