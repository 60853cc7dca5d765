"""Secrets of this machine: what others can read, reach or swap is refused."""

from __future__ import annotations

import os

import pytest

from secureml import ConfigError
from secureml.state.secrets import local_sources
from secureml.state.secrets.local_sources import LARGEST, mark_of, path_of, read, read_file

CANARY = b"correct-horse-battery"


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    """The folder systemd makes for a unit, with one credential in it."""
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    (folder / "edge-token").write_bytes(CANARY + b"\n")
    (folder / "edge-token").chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_a_credential_of_systemd_is_read_by_its_name(credentials, tmp_path):
    """And the folder is asked for each time: another process has another one."""
    found = read("systemd", "edge-token", tmp_path)

    assert found.secret.reveal() == CANARY
    assert found.changed == (credentials / "edge-token").stat().st_mtime


def test_a_credential_given_by_acl_shows_a_groups_right_and_is_accepted(credentials, tmp_path):
    """Its mask stands where the group's bits are; the world's bits are still refused."""
    (credentials / "edge-token").chmod(0o440)
    assert read("systemd", "edge-token", tmp_path).secret.reveal() == CANARY

    (credentials / "edge-token").chmod(0o444)
    with pytest.raises(ConfigError, match="lets other users read"):
        read("systemd", "edge-token", tmp_path)


@pytest.mark.parametrize(
    "name", ["../secureml.toml", "a/b", ".", "..", "", "a\0b", "a\n", "ü", "x" * 256]
)
def test_attack_a_credential_name_that_leaves_its_folder(credentials, tmp_path, name):
    """systemd's own names have no slash."""
    with pytest.raises(ConfigError, match="not the name of a systemd credential"):
        read("systemd", name, tmp_path)


def test_without_systemd_the_message_says_what_the_unit_needs(tmp_path, monkeypatch):
    """The usual cause is a start by hand."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    with pytest.raises(ConfigError, match="LoadCredential=edge-token:"):
        read("systemd", "edge-token", tmp_path)


def test_attack_a_pipe_in_the_place_of_a_secret_does_not_hold_up_the_start(tmp_path):
    """Opening it would wait for a writer that never comes."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(ConfigError, match="not a regular file"):
        read("file", "pipe", tmp_path)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path):
    """A database named by mistake is no secret."""
    (tmp_path / "large").write_bytes(b"x" * (LARGEST + 1))
    (tmp_path / "large").chmod(0o600)

    with pytest.raises(ConfigError, match="larger than 64 KiB"):
        read("file", "large", tmp_path)


def test_a_variable_has_no_file_and_no_known_age(tmp_path, monkeypatch):
    """Nobody can tell when it was set."""
    monkeypatch.setenv("A_SECRET", "x")

    assert path_of("env", "A_SECRET", tmp_path) is None
    assert read("env", "A_SECRET", tmp_path).changed is None


def test_a_file_that_is_written_while_it_is_read_has_no_mark(tmp_path, monkeypatch):
    """What was read may be half of each; the next look must not take it for settled."""
    path = tmp_path / "secret"
    path.write_bytes(CANARY)
    path.chmod(0o600)
    marks = iter([(1,), (2,)])
    monkeypatch.setattr(local_sources, "mark_of", lambda found: next(marks))

    assert read_file(path)[1] is None


def test_the_mark_changes_when_a_file_is_swapped_for_one_with_the_same_times(tmp_path):
    """`cp -p` and `touch -r` keep the time of change of the content, not that of the file."""
    path, other = tmp_path / "secret", tmp_path / "other"
    path.write_bytes(b"first!")
    before = path.stat()
    other.write_bytes(b"second")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)

    assert mark_of(path.stat()) != mark_of(before)
