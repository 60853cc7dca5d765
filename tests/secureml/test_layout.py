"""The instance folder: exact modes, nothing overwritten, nothing secret left open."""

from __future__ import annotations

import os
import stat

import pytest

from secureml.config_error import ConfigError
from secureml.layout import FILES, FOLDERS, ROOT, STORE_FOLDER, check_modes, make_folders, write_new


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o177])
def umask(request):
    """Each umask a system may have, and some that none should."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_get_their_modes_whatever_the_umask(tmp_path, umask):
    instance = tmp_path / "instance"
    made = make_folders(instance)
    assert made == [str(instance), *(entry.path for entry in FOLDERS)]
    assert mode(instance) == ROOT.mode == 0o750
    assert {entry.path: mode(instance / entry.path) for entry in FOLDERS} == {
        entry.path: entry.mode for entry in FOLDERS
    }
    check_modes(instance)


def test_what_is_there_is_left_as_it_is(tmp_path):
    make_folders(tmp_path)
    (tmp_path / "models").chmod(0o700)
    assert make_folders(tmp_path) == []
    assert mode(tmp_path / "models") == 0o700


def test_a_folder_is_made_in_a_folder_that_is_missing(tmp_path):
    assert make_folders(tmp_path / "a" / "b")
    check_modes(tmp_path / "a" / "b")


def test_a_new_file_has_its_mode_whatever_the_umask(tmp_path, umask):
    assert write_new(tmp_path / "key", b"secret", 0o600)
    assert (mode(tmp_path / "key"), (tmp_path / "key").read_bytes()) == (0o600, b"secret")


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o640)
    assert not write_new(path, b"new", 0o600)
    assert (path.read_bytes(), mode(path)) == (b"old", 0o640)


def test_attack_a_link_in_the_place_of_a_new_file_is_not_followed(tmp_path):
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    assert not write_new(tmp_path / "key", b"secret", 0o600)
    assert not (tmp_path / "elsewhere").exists()


def put(folder, entry):
    path = folder / entry.path
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if entry in FOLDERS or entry.path == STORE_FOLDER:
        path.mkdir(exist_ok=True)
    elif entry is not ROOT:
        path.touch()
    return path


SECRET = [entry for entry in (*FOLDERS, *FILES) if entry.secret]
OPEN = [entry for entry in (ROOT, *FOLDERS, *FILES) if not entry.secret]


@pytest.mark.parametrize("entry", SECRET, ids=lambda entry: entry.path)
@pytest.mark.parametrize("more", [0o040, 0o004, 0o002, 0o001])
def test_a_secret_that_is_open_to_others_stops_the_start(tmp_path, entry, more):
    path = put(tmp_path, entry)
    path.chmod(entry.mode | more)
    with pytest.raises(ConfigError) as refused:
        check_modes(tmp_path)
    assert str(refused.value) == (
        f"{path}: mode {entry.mode | more:04o} lets others in ({entry.what}); "
        f"fix: chmod {entry.mode:o} {path}"
    )
    path.chmod(entry.mode)
    check_modes(tmp_path)


@pytest.mark.parametrize("entry", OPEN, ids=lambda entry: entry.path)
def test_what_everyone_may_write_stops_the_start_and_what_they_may_read_does_not(tmp_path, entry):
    path = put(tmp_path, entry)
    path.chmod(entry.mode | 0o044)
    check_modes(tmp_path)
    path.chmod(entry.mode | 0o002)
    with pytest.raises(ConfigError, match=f"fix: chmod {entry.mode:o} "):
        check_modes(tmp_path)


def test_the_fix_is_the_command_that_mends_it(fresh_instance):
    key = fresh_instance / "keys" / "model-signing.key"
    key.chmod(0o644)
    with pytest.raises(ConfigError) as refused:
        check_modes(fresh_instance)
    command, octal, path = refused.value.fix.split()
    assert (command, path) == ("chmod", str(key))
    key.chmod(int(octal, 8))
    check_modes(fresh_instance)


def test_a_file_in_the_place_of_a_folder_is_told_in_one_line(tmp_path):
    (tmp_path / "keys").touch(mode=0o600)
    with pytest.raises(ConfigError, match="keys/signing: cannot be inspected"):
        check_modes(tmp_path)


def test_what_is_not_there_yet_is_no_fault(tmp_path):
    check_modes(tmp_path)
