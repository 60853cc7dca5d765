"""Paths are read from a process' memory, as far as they can be."""

from __future__ import annotations

import ctypes
import mmap
import os

from secureml.confinement.refused_path import PATH_ARGUMENT, read_path
from secureml.confinement.syscall_numbers import X86_64


def test_a_path_is_read_up_to_its_end():
    text = ctypes.create_string_buffer(b"/etc/pa\xffwd")
    arguments = (0, ctypes.addressof(text), 0, 0, 0, 0)
    assert read_path(os.getpid(), "openat", arguments) == "/etc/pa\\xffwd"
    assert read_path(os.getpid(), "execve", arguments[1:]) == "/etc/pa\\xffwd"


def test_a_path_over_the_end_of_a_page_is_read_and_one_without_end_is_cut():
    page = mmap.mmap(-1, 3 * 4096)
    page[4090:4105] = b"/a/long/path/x\0"
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    assert read_path(os.getpid(), "creat", (start + 4090,)) == "/a/long/path/x"
    page[:] = b"x" * len(page)
    assert len(read_path(os.getpid(), "creat", (start,))) == 4096


def test_addresses_that_are_none_and_calls_without_a_path_have_none():
    assert read_path(os.getpid(), "creat", (0,)) is None
    assert read_path(os.getpid(), "creat", (2**64 - 1,)) is None
    assert read_path(os.getpid(), "socket", (2, 1)) is None


def test_a_process_that_is_gone_has_no_path():
    assert read_path(2**22 + 1, "creat", (1,)) is None


def test_every_call_with_a_path_exists():
    assert set(PATH_ARGUMENT) <= set(X86_64)
