"""A declaration that could not be meant is refused where it is written."""

from __future__ import annotations

import pytest

from secureml.kit.instance_file import InstanceFile


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../other/secureml.toml", "a/../../b", "", "a//b", "a/", "./a", "a\0b"]
)
def test_attack_a_path_that_leads_out_of_the_instance_cannot_be_declared(path):
    with pytest.raises(ValueError, match="is not a path inside the instance folder"):
        InstanceFile(path, "what")


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o777, 0o666, 0o4700, -1])
def test_attack_a_mode_that_lets_others_write_cannot_be_declared(mode):
    with pytest.raises(ValueError, match="would let others write it"):
        InstanceFile("mine", "what", mode)


@pytest.mark.parametrize("words", [{"make": lambda: b""}, {"public_sealing_key": True}])
def test_a_folder_has_no_content(words):
    with pytest.raises(ValueError, match="is a folder, and only a file has content"):
        InstanceFile("mine", "what", 0o700, folder=True, **words)


@pytest.mark.parametrize(
    ("mode", "secret"), [(0o600, True), (0o700, True), (0o640, False), (0o604, False)]
)
def test_what_others_have_no_right_to_is_a_secret(mode, secret):
    assert InstanceFile("mine", "what", mode).secret is secret


def test_what_is_within_a_folder_is_not_the_folder_and_not_its_neighbour():
    folder = InstanceFile("mine", "what", 0o700, folder=True)
    assert InstanceFile("mine/a/b", "what").is_within(folder)
    assert not folder.is_within(folder)
    assert not InstanceFile("mine2/a", "what").is_within(folder)
    assert not InstanceFile("mine/a", "what").is_within(InstanceFile("mine", "a file"))
