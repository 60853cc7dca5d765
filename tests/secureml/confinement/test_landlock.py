"""What is taken away by each ABI of Landlock, and what is granted."""

from __future__ import annotations

import stat
import struct

import pytest

from secureml.confinement import landlock


@pytest.mark.parametrize(
    ("abi", "highest"), [(1, 12), (2, 13), (3, 14), (4, 14), (5, 15), (6, 15), (8, 15), (9, 16)]
)
def test_all_that_an_abi_knows_is_handled_and_nothing_that_it_does_not(abi, highest):
    assert landlock.file_rights(abi) == 2 ** (highest + 1) - 1


@pytest.mark.parametrize(("abi", "size"), [(1, 8), (3, 8), (4, 16), (5, 16), (6, 24), (20, 24)])
def test_the_ruleset_is_as_long_as_the_kernel_expects(abi, size):
    raw = landlock.ruleset(abi)
    assert len(raw) == size
    assert struct.unpack_from("=Q", raw)[0] == landlock.file_rights(abi)
    assert struct.unpack_from("=Q", raw, 8)[0] == 3 if size > 8 else True


def test_a_folder_may_be_listed_a_file_read_and_nothing_written():
    folder, file, device = (landlock.granted(kind | 0o777) for kind in
                            (stat.S_IFDIR, stat.S_IFREG, stat.S_IFCHR))  # fmt: skip
    assert folder == landlock.EXECUTE | landlock.READ_FILE | landlock.READ_DIR
    assert file == landlock.EXECUTE | landlock.READ_FILE
    assert device == landlock.READ_FILE
    for rights in (folder, file, device):
        assert not rights & landlock.WRITE_FILE
