"""Limits as the operating system counts them."""

from __future__ import annotations

import resource

import pytest

from secureml.confinement.limits import GIB, MIB, Limits


def test_each_limit_of_the_kernel_exists_and_its_soft_part_is_not_above_the_hard():
    for name, (soft, hard) in Limits().resources().items():
        assert isinstance(getattr(resource, name), int)
        assert 0 <= soft <= hard


def test_no_core_file_is_written():
    assert Limits().resources()["RLIMIT_CORE"] == (0, 0)


def test_parts_of_a_second_are_rounded_up_and_the_hard_limit_follows():
    assert Limits(processor=0.2).resources()["RLIMIT_CPU"] == (1, 2)


def test_memory_bounds_data_and_the_address_space_has_room_for_code():
    bounds = Limits(memory=64 * MIB).resources()
    assert bounds["RLIMIT_DATA"] == (64 * MIB, 64 * MIB)
    assert bounds["RLIMIT_AS"][1] == 64 * MIB + 4 * GIB


def test_a_result_may_be_as_long_as_the_limit_and_one_byte_more_tells_the_excess():
    assert Limits(output=10).resources()["RLIMIT_FSIZE"] == (11, 11)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_limit_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="'wall' must be positive"):
        Limits(wall=value)
