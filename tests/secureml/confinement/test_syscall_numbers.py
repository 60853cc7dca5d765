"""The numbers are those of the kernel's headers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from secureml.confinement.syscall_numbers import AARCH64, X86_64

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def test_some_that_everybody_knows():
    assert (X86_64["read"], X86_64["execve"], X86_64["seccomp"]) == (0, 59, 317)
    assert (AARCH64["read"], AARCH64["execve"], AARCH64["seccomp"]) == (63, 221, 277)


def test_from_424_on_both_families_have_the_same():
    def late(table):
        return {name: number for name, number in table.items() if number >= 424}

    assert late(X86_64).items() >= late(AARCH64).items()
    assert X86_64["landlock_restrict_self"] == 446


@pytest.mark.parametrize("table", [X86_64, AARCH64], ids=["x86_64", "aarch64"])
def test_no_number_has_two_names(table):
    assert len(set(table.values())) == len(table) > 300


@pytest.mark.skipif(not HEADER.exists(), reason="the kernel's headers are not installed")
def test_all_of_the_installed_headers_are_there():
    named = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", HEADER.read_text()))
    assert len(named) > 300
    known = {name: int(number) for name, number in named.items() if int(number) <= 469}
    assert {name: X86_64.get(name) for name in known} == known
